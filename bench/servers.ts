import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseServiceUrl } from '../src/config/url';
import { Environment } from '../src/embedded/environment';
import { openStore } from '../src/stores';
import type { Store } from '../src/stores/store';
import { backendUrl } from '../test/support/backends';
import { EMPTY_STORES, type StoreName } from '../test/support/empty-store';

/** The stores that a bench can measure: the test servers, and the embedded default. */
export type BenchStore = StoreName | 'embedded';

export const BENCH_STORES = ['embedded', ...Object.keys(EMPTY_STORES)] as readonly BenchStore[];

/** Runs the bench with an empty store. @returns false if its server does not run. */
export async function withEmptyStore(name: BenchStore, bench: (store: Store, url: string) => Promise<void>): Promise<boolean> {
  if (name === 'embedded') return withEmbedded(bench);
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

async function withEmbedded(bench: (store: Store, url: string) => Promise<void>): Promise<true> {
  const directory = mkdtempSync(join(tmpdir(), 'offline-bench-'));
  const environment = await Environment.open(directory);
  const url = 'embedded:';
  const store = await openStore(parseServiceUrl(url, ['embedded']), environment);
  await store.migrate();
  try {
    await bench(store, url);
  } finally {
    await store.close();
    await environment.close();
    rmSync(directory, { recursive: true });
  }
  return true;
}
