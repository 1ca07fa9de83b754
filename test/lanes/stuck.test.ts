import { Worker } from 'bullmq';
import { RedisQueue } from '../../src/lanes/redis';
import { withBackends } from '../support/backends';
import { prepared } from '../support/prepared';
import { redisUrl, removeKeys } from '../support/redis';

const QUEUE = `stuck-${process.pid}`;

// Promise 14. A node of a cluster that died left BullMQ's wait for a job open for ever. The guard is STUCK_MS.
describe('a queue on Redis Cluster', () => {
  withBackends(['redis-cluster'], ({ 'redis-cluster': server }) => {
    it('takes jobs with another worker when a wait for a job does not end', async () => {
      const backend = new RedisQueue({ url: redisUrl(server), onError: () => undefined });
      await prepared(backend);
      const queue = backend.queue(QUEUE);
      const source = backend.source(QUEUE);
      await source.open();
      await queue.add('waiting', {});
      const wait = jest.spyOn(Worker.prototype, 'getNextJob').mockImplementationOnce(() => new Promise(() => undefined));
      expect(await source.next(true)).toBeNull();
      const taken = await source.next(true);
      expect(taken?.job.name).toBe('waiting');
      await source.complete([taken!]);
      expect(wait.mock.contexts[0]).not.toBe(wait.mock.contexts[1]);
      wait.mockRestore();
      await source.close();
      await queue.close();
      await backend.close();
      await removeKeys(server, `{offline}:${QUEUE}`);
    });
  });
});
