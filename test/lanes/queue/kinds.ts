import { Client } from 'pg';
import { PgliteEngine } from '../../../src/embedded/engine';
import { PostgresQueue } from '../../../src/lanes/postgres';
import { RedisQueue } from '../../../src/lanes/redis';
import { withBackends } from '../../support/backends';
import { emptyDatabase } from '../../support/database';
import { emptyRedis, redisUrl } from '../../support/redis';
import { temporaryDirectory } from '../../support/temp';
import type { Kind } from './world';

/** Its schema stays, which takes long to make. */
const EMPTY = `DO $$ BEGIN IF to_regclass('offline_queue.job') IS NOT NULL THEN
  TRUNCATE offline_queue.job, offline_queue.shared_state, offline_queue.record, offline_queue.delivery_lease CASCADE; END IF; END $$`;

function fail(error: Error): never {
  throw error;
}

/** Its hooks end before those of the database that it is on. */
const inside = (kind: Kind, tests: (kind: Kind) => void): void => describe('the queue', () => tests(kind));

/** Runs the tests on every database that a queue can be on; `name` is that of the PostgreSQL database, `redisDatabase` the number of the one on Redis. */
export function onEachQueue(name: string, redisDatabase: number, tests: (kind: Kind) => void): void {
  describe('on the embedded database', () => {
    const directory = temporaryDirectory();
    let engine: PgliteEngine;
    beforeAll(async () => {
      engine = await PgliteEngine.open(directory.path, fail);
    });
    afterAll(async () => {
      await engine.close();
      directory.remove();
    });
    const empty = async (): Promise<void> => {
      const client = new Client(engine.connectionConfig());
      await client.connect();
      await client.query(EMPTY);
      await client.end();
    };
    const open = (onError: (error: Error) => void): PostgresQueue => new PostgresQueue({ connection: engine.connectionConfig(), exclusive: true, onError });
    inside({ name: 'embedded', isShared: false, empty, open }, tests);
  });

  describe('on Redis', () => {
    withBackends(['redis'], ({ redis }) => {
      const url = `${redis}/${redisDatabase}`;
      inside({ name: 'redis', isShared: true, empty: () => emptyRedis(url), open: (onError) => new RedisQueue({ url: redisUrl(url), onError }) }, tests);
    });
  });

  describe('on PostgreSQL', () => {
    withBackends(['postgres'], ({ postgres }) => {
      let url = '';
      const empty = async (): Promise<void> => void (url = await emptyDatabase(postgres, name));
      const open = (onError: (error: Error) => void): PostgresQueue => new PostgresQueue({ connection: { connectionString: url }, exclusive: false, onError });
      inside({ name: 'postgres', isShared: true, empty, open }, tests);
    });
  });
}
