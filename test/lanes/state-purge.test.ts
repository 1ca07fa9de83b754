import { Pool } from 'pg';
import { PostgresQueue } from '../../src/lanes/postgres';
import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';

/** Leases are made for every delivery: their purge must be bounded, and tell whether there is more. */
describe('the purge of the shared state', () => {
  withBackends(['postgres'], ({ postgres }) => {
    let pool: Pool;
    let queue: PostgresQueue;
    beforeAll(async () => {
      const connectionString = await emptyDatabase(postgres, 'offline_state_purge');
      pool = new Pool({ connectionString });
      queue = new PostgresQueue({ connection: { connectionString }, onError: () => undefined });
      await queue.prepare();
      await pool.query(`INSERT INTO offline_queue.delivery_lease SELECT 'M' || i, 'c', 1 FROM generate_series(1, 2500) AS i`);
      // Far in the future.
      await pool.query(`INSERT INTO offline_queue.delivery_lease SELECT 'N' || i, 'c', 9000000000000 FROM generate_series(1, 50000) AS i`);
    });
    afterAll(async () => {
      await queue.close();
      await pool.end();
    });

    it('deletes expired leases in steps and keeps the others', async () => {
      for (let i = 0; i < 2; i++) expect(await queue.state.purge(1_000)).toBe(true);
      expect(await queue.state.purge(1_000)).toBe(false);
      const { rows } = await pool.query<{ n: string }>('SELECT count(*) AS n FROM offline_queue.delivery_lease');
      expect(Number(rows[0]?.n)).toBe(50_000);
    });
  });
});
