import { Client } from 'pg';
import { withBackends } from '../support/backends';
import { mainFlow } from './main-flow';
import { promises } from './promises';

/** Real servers for queue and store; each choice has a database of its own. */
describe('with real servers', () => {
  withBackends(['postgres', 'redis'], ({ postgres, redis }) => {
    const database = 'offline_e2e';
    const store = new URL(postgres);
    store.pathname = `/${database}`;

    beforeAll(async () => {
      const client = new Client({ connectionString: postgres });
      await client.connect();
      await client.query(`DROP DATABASE IF EXISTS ${database} WITH (FORCE)`);
      await client.query(`CREATE DATABASE ${database}`);
      await client.end();
    });

    mainFlow('store postgres, queue redis', () => ({ STORE_URL: store.href, QUEUE_URL: redis }));
    promises('store postgres, queue redis', () => ({ STORE_URL: store.href, QUEUE_URL: redis }));
    mainFlow('store postgres, queue postgres', () => ({ STORE_URL: store.href, QUEUE_URL: store.href }));
  });
});
