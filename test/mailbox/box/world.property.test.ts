import fc from 'fast-check';
import { play, scenario, settle } from './plays';
import { World } from './world';

const RUNS = Number(process.env['BOX_RUNS'] ?? 500);
/** BOX_SEED=random plays other scenarios each time: by hand, with many BOX_RUNS. */
const SEED = process.env['BOX_SEED'] ?? '20261127';

describe('a mailbox, its client and EMQX, in any order of events', () => {
  it('send nothing twice, lose nothing, keep the window and come to rest', () => {
    fc.assert(
      fc.property(scenario, ({ commands, ...options }) => {
        const world = new World(options);
        for (const each of commands) {
          play(world, each);
          expect(world.faults).toEqual([]);
        }
        const passes = settle(world);
        expect(world.faults).toEqual([]);
        expect([...world.owed].filter((id) => world.broker.isConnected && !world.isAcknowledged(id))).toEqual([]);
        expect(passes).toBeLessThan(500);
      }),
      { numRuns: RUNS, ...(SEED !== 'random' && { seed: Number(SEED) }) },
    );
  });
});
