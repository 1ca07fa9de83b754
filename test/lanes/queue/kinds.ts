import { join } from 'node:path';
import { Environment } from '../../../src/embedded/environment';
import { EmbeddedQueue } from '../../../src/lanes/embedded';
import { PostgresQueue } from '../../../src/lanes/postgres';
import { RedisQueue } from '../../../src/lanes/redis';
import { withBackends } from '../../support/backends';
import { emptyDatabase } from '../../support/database';
import { emptyRedis, redisOf, redisUrl, type RedisOwner } from '../../support/redis';
import { temporaryDirectory } from '../../support/temp';
import type { Kind } from './world';

/** Its hooks end before those of the database that it is on. */
const inside = (kind: Kind, tests: (kind: Kind) => void): void => describe('the queue', () => tests(kind));

/**
 * Runs the tests on every database that a queue can be on; `name` is that of the PostgreSQL database. Without an owner
 * they use the database of Redis that all test files share. It is never empty, so the tests' names are their own.
 */
export function onEachQueue(name: string, owner: RedisOwner | null, tests: (kind: Kind) => void): void {
  describe('on the embedded database', () => {
    const directory = temporaryDirectory();
    let environment: Environment;
    let environments = 0;
    const another = async (): Promise<void> => void (environment = await Environment.open(join(directory.path, String(environments++))));
    beforeAll(another);
    afterAll(async () => {
      await environment.close();
      directory.remove();
    });
    const empty = async (): Promise<void> => {
      await environment.close();
      await another();
    };
    const open = (onError: (error: Error) => void): EmbeddedQueue => new EmbeddedQueue(environment, onError);
    inside({ name: 'embedded', isShared: false, empty, open }, tests);
  });

  describe('on Redis', () => {
    withBackends(['redis'], ({ redis }) => {
      const url = owner === null ? redis : redisOf(owner, redis);
      const empty = async (): Promise<void> => (owner === null ? undefined : emptyRedis(url));
      const open = (onError: (error: Error) => void): RedisQueue => new RedisQueue({ url: redisUrl(url), onError });
      inside({ name: 'redis', isShared: true, empty, open }, tests);
    });
  });

  describe('on PostgreSQL', () => {
    withBackends(['postgres'], ({ postgres }) => {
      let url = '';
      const empty = async (): Promise<void> => void (url = await emptyDatabase(postgres, name));
      const open = (onError: (error: Error) => void): PostgresQueue =>
        new PostgresQueue({ connection: { connectionString: url }, onError });
      inside({ name: 'postgres', isShared: true, empty, open }, tests);
    });
  });
}
