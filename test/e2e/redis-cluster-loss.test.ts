import { ownRedisCluster, type OwnDatabase } from '../chaos/databases';
import { withBackends } from '../support/backends';
import { waitFor } from '../support/wait';
import { World } from './world';

const TOPICS = 12;
const MESSAGES = 360;
const DOWN_MS = 1_500;

/** A cluster of the test's own, three masters without replicas, because a process of it is killed. */
describe('a Redis Cluster with the queue and the store', () => {
  withBackends(['redis-cluster'], () => {
    let cluster: OwnDatabase;
    let world: World;
    const texts = Array.from({ length: MESSAGES }, (_, i) => `m${i}`);
    const topicOf = (i: number): string => `t/cluster/${i % TOPICS}`;
    const publish = async (from: number, to: number): Promise<void> => {
      for (let i = from; i < to; i++) await world.publish(topicOf(i), `m${i}`);
    };

    beforeAll(async () => {
      cluster = await ownRedisCluster();
      world = await World.start({ env: { STORE_URL: cluster.url, QUEUE_URL: cluster.url } });
    }, 90_000);
    afterAll(async () => {
      await world.stop();
      await cluster.stop();
    }, 60_000);

    // The guards: each command of the store concerns one key and is tried again with its batch; EMQX keeps events that get a 503.
    it('promises 1 and 14: loses, repeats and mixes up nothing while its masters are killed and come back, one after the other', async () => {
      await publish(0, 60);
      await world.storedCount(60);
      for (const [from, to] of [
        [60, 160],
        [160, 260],
        [260, MESSAGES],
      ] as const) {
        const crash = cluster.crash(DOWN_MS);
        await publish(from, to);
        await crash;
      }
      await waitFor('all events to be accepted', () => world.emqx.action.pending === 0, 60_000);
      expect(world.emqx.action.lost).toEqual([]);
      // A lane may wait for a worker to be replaced (STUCK_MS, twice as long each time), and then for the lock of a job.
      await waitFor('all messages to be stored', async () => (await world.stored()).length === MESSAGES, 90_000);
      const subscriber = await world.subscriber('cluster');
      await subscriber.subscribe('t/cluster/+');
      await waitFor('half of the messages', () => subscriber.received.length > MESSAGES / 2, 60_000);
      await cluster.crash(DOWN_MS);
      await waitFor('an empty store', async () => (await world.stored()).length === 0, 90_000);
      const of = (topic: string): string[] => texts.filter((_, i) => topicOf(i) === topic);
      for (let i = 0; i < TOPICS; i++) {
        const received = subscriber.received.filter(({ topic }) => topic === topicOf(i)).map(({ payload }) => payload.toString());
        // Copies that were sent a moment before the crash may come twice, never out of order the first time.
        expect([...new Set(received)]).toEqual(of(topicOf(i)));
      }
    }, 300_000);
  });
});
