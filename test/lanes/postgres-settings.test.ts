import { Client } from 'pg';
import { PostgresQueue } from '../../src/lanes/postgres';
import type { JobSource } from '../../src/lanes/source';
import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';

const DATABASE = 'offline_queue_settings';
/** What two servers that start at once wait for. */
const MIGRATION_LOCK = 7_261_844;
const JOBS = 200;

describe('a queue on PostgreSQL whose database has settings of its own', () => {
  withBackends(['postgres'], ({ postgres: server }) => {
    let [admin, url]: [Client?, string?] = [];
    const queues: PostgresQueue[] = [];
    beforeEach(async () => {
      url = await emptyDatabase(server, DATABASE);
      admin = new Client({ connectionString: url });
      await admin.connect();
    });
    afterEach(async () => {
      await Promise.all(queues.splice(0).map((queue) => queue.close()));
      await admin!.end();
    });
    const set = (setting: string) => admin!.query(`ALTER DATABASE ${DATABASE} SET ${setting}`);
    const open = (): PostgresQueue => {
      const queue = new PostgresQueue({ connection: { connectionString: url! }, onError: () => undefined });
      queues.push(queue);
      return queue;
    };

    // The guard is `statement_timeout=0`: a migration takes as long as the tables are large, or as another server migrates them.
    it('is prepared although statements have little time', async () => {
      await set(`statement_timeout = '300ms'`);
      await admin!.query(`SELECT pg_advisory_lock(${MIGRATION_LOCK})`);
      const prepared = open()
        .prepare()
        .then(
          () => 'prepared',
          (error: Error) => error.message,
        );
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      await admin!.query(`SELECT pg_advisory_unlock(${MIGRATION_LOCK})`);
      expect(await prepared).toBe('prepared');
    });

    // The guard is `default_transaction_isolation`. Without it most requests for a job failed: "could not serialize access".
    it('gives each job to one of two servers although transactions are serializable', async () => {
      await set(`default_transaction_isolation = 'serializable'`);
      const servers = [open(), open()];
      for (const each of servers) await each.prepare();
      const lanes = servers.map((each) => each.queue('lane'));
      const sources = servers.map((each) => each.source('lane'));
      const done: unknown[] = [];
      const work = async (source: JobSource): Promise<void> => {
        while (done.length < JOBS) {
          const taken = (await Promise.all(Array.from({ length: 8 }, () => source.next(false)))).filter((each) => each !== null);
          await source.complete(taken);
          done.push(...taken.map(({ job }) => (job.data as { i: number }).i));
        }
      };
      try {
        await Promise.all([...Array.from({ length: JOBS }, (_, i) => lanes[i % 2]!.add('job', { i })), ...sources.map(work)]);
        expect(new Set(done)).toEqual(new Set(Array.from({ length: JOBS }, (_, i) => i)));
        expect(done).toHaveLength(JOBS);
      } finally {
        for (const source of sources) await source.stopTaking();
        await Promise.all([...sources, ...lanes].map((each) => each.close()));
      }
    });
  });
});
