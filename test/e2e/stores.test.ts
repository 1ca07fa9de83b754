import { withBackends } from '../support/backends';
import { EMPTY_STORES, type EmptyStore, type StoreName } from '../support/empty-store';
import { mainFlow } from './main-flow';

/** Beside postgres, which has tests of its own: the whole way of a message on every kind of store, with the queue in Redis. */
const NAMES = (Object.keys(EMPTY_STORES) as StoreName[]).filter((name) => name !== 'postgres');

describe.each(NAMES)('with %s', (name) => {
  withBackends([name, 'redis'], (urls) => {
    let store: EmptyStore;
    beforeAll(async () => {
      store = await EMPTY_STORES[name](urls[name], `offline_e2e_${process.pid}`);
    }, 120_000);
    afterAll(() => store.drop(), 120_000);
    mainFlow(`store ${name}, queue redis`, () => ({ STORE_URL: store.url, QUEUE_URL: `${urls.redis}/5` }));
  });
});
