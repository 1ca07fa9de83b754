import { parseServiceUrl } from '../src/config/url';
import { openStore } from '../src/stores';
import type { Store } from '../src/stores/store';
import { backendUrl } from '../test/support/backends';
import { EMPTY_STORES, type StoreName } from '../test/support/empty-store';

/** Runs the bench with an empty store. @returns false if its server does not run. */
export async function withEmptyStore(name: StoreName, bench: (store: Store, url: string) => Promise<void>): Promise<boolean> {
  const server = backendUrl(name);
  if (server === null) return false;
  const { url, drop } = await EMPTY_STORES[name](server, 'offline_bench');
  const store = await openStore(parseServiceUrl(url, [url.split(':')[0] ?? '']), null);
  await store.migrate();
  try {
    await bench(store, url);
  } finally {
    await store.close();
    await drop();
  }
  return true;
}
