import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { emptyRedis } from '../support/redis';
import { severalServers } from './several';

/** Several servers on one queue and store. The guards: one job of a lane at a time (Lanes.prepare), windows and leases in the shared state. */
describe('several servers', () => {
  withBackends(['postgres', 'redis'], ({ postgres, redis }) => {
    it.each(['redis', 'postgres'] as const)('promise 6: on one queue (%s) keep the order, repeat nothing, and one may go', async (kind) => {
      // The servers would work on what an earlier run has left, too.
      await emptyRedis(`${redis}/6`);
      await severalServers(postgres, kind, kind === 'redis' ? `${redis}/6` : await emptyDatabase(postgres, 'offline_several_queue'));
    });
  });
});
