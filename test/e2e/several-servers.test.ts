import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { emptyRedis, redisOf } from '../support/redis';
import { severalServers } from './several';
import { standsStill } from './still';

/**
 * Several servers on one queue and store. The guards: owners of lanes (ownership.ts), the versions of mailboxes
 * (Boxes.save), claims in the shared state.
 */
describe('several servers', () => {
  withBackends(['postgres', 'redis'], ({ postgres, redis }) => {
    const queue = redisOf('e2e/several-servers', redis);
    it.each(['redis', 'postgres'] as const)('promise 6: on one queue (%s) deliver in order and once while one stops', async (kind) => {
      // The servers would work on what an earlier run has left, too.
      await emptyRedis(queue);
      await severalServers(postgres, kind, kind === 'redis' ? queue : await emptyDatabase(postgres, 'offline_several_queue'));
    });

    // The guards: FRESH_MS in Sender, and the versions of mailboxes and positions. The same with a stopped process: test/chaos.
    it.each([
      ['redis', 'reading', 'queue'],
      ['redis', 'saving', 'queue'],
      ['redis', 'saving', 'pubsub'],
      ['postgres', 'reading', 'pubsub'],
    ] as const)(
      'promise 21: on one queue (%s): one paused while %s repeats and overwrites nothing (%s mode)',
      async (kind, at, mode) => {
        await emptyRedis(queue);
        await standsStill(postgres, kind === 'redis' ? queue : await emptyDatabase(postgres, 'offline_still_queue'), at, mode);
      },
      180_000,
    );
  });
});
