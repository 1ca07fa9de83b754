import { withBackends, type BackendName } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { emptyMysql } from '../support/mysql';
import { removeKeys } from '../support/redis';
import { mainFlow } from './main-flow';

const PREFIX = `e2e-${process.pid}`;

/** A STORE_URL with nothing in it, on each kind of database. */
const STORES: Partial<Record<BackendName, (server: string) => Promise<string>>> = {
  timescale: async (server) => (await emptyDatabase(server.replace(/^timescale/, 'postgres'), 'offline_e2e')).replace(/^postgres/, 'timescale'),
  mysql: async (server) => (await emptyMysql(server, 'offline_e2e')).href(),
  mariadb: async (server) => (await emptyMysql(server, 'offline_e2e')).href(),
  redis: (server) => Promise.resolve(`${server}?prefix=${PREFIX}`),
  'redis-cluster': (server) => Promise.resolve(`${server}?prefix=${PREFIX}`),
};

/** The whole way of a message on every kind of store, with the queue in Redis. */
describe('with every store', () => {
  for (const [name, empty] of Object.entries(STORES)) {
    withBackends([name as BackendName, 'redis'], (urls) => {
      let store = '';
      beforeAll(async () => {
        store = await empty(urls[name as BackendName]);
      });
      afterAll(async () => {
        if (name.startsWith('redis')) await removeKeys(urls[name as BackendName], PREFIX);
      });
      mainFlow(`store ${name}, queue redis`, () => ({ STORE_URL: store, QUEUE_URL: `${urls.redis}/5` }));
    });
  }
});
