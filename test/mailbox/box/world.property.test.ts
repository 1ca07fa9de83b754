import fc from 'fast-check';
import { FOUND } from './found';
import { faultsOf, scenario } from './plays';

const RUNS = Number(process.env['BOX_RUNS'] ?? 500);
/** BOX_SEED=random plays other scenarios each time: by hand, with many BOX_RUNS. fast-check prints the seed of a failure. */
const SEED = process.env['BOX_SEED'] ?? '20261127';

describe('a mailbox, its client and EMQX, in any order of events', () => {
  it('send nothing twice, lose nothing, keep the window and come to rest', () => {
    fc.assert(
      fc.property(scenario, (each) => {
        expect(faultsOf(each)).toEqual([]);
      }),
      { numRuns: RUNS, seed: SEED === 'random' ? Date.now() % 2 ** 31 : Number(SEED) },
    );
  });

  it.each(FOUND)('send nothing twice and lose nothing when %s', (_, each) => {
    expect(faultsOf(each)).toEqual([]);
  });
});
