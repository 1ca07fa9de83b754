import { temporaryDirectory } from '../support/temp';
import { World, type Rules } from './world';

/** Tests of one theme. Each has topics and clients of its own, as several suites share a server. */
export interface Suite {
  readonly name: string;
  /** The entries of POLICIES for the suite's topics. */
  readonly policies: readonly { readonly filter: string; readonly [key: string]: unknown }[];
  /** The rules that are in EMQX when a test begins; default offline-messages. */
  readonly rules?: Rules;
  readonly tests: (stage: Stage) => void;
}

/** Where a suite is run. */
export interface Stage {
  /** `short`: what the theme cannot do without, each promise among it. */
  readonly form: 'whole' | 'short';
  /** There when a test runs. */
  readonly world: World;
}

/**
 * Runs the suites one after the other on one server and one stand-in for EMQX: starting both takes longer than most tests. `settings`
 * choose queue and store.
 */
export function onOneServer(
  name: string,
  settings: () => Record<string, string>,
  suites: readonly Suite[],
  form: Stage['form'] = 'whole',
  version: 4 | 5 = 5,
): void {
  describe(name, () => {
    const directory = temporaryDirectory();
    const stage: { form: Stage['form']; world: World } = { form, world: undefined as unknown as World };

    beforeAll(async () => {
      const POLICIES = JSON.stringify([...suites.flatMap(({ policies }) => policies), { filter: '#' }]);
      stage.world = await World.start({ version, rules: [], env: { DATA_DIR: directory.path, ...settings(), POLICIES } });
    }, 60_000);
    afterAll(async () => {
      await stage.world.stop();
      directory.remove();
    }, 60_000);

    describe.each(suites)('$name', ({ rules = ['offline-messages'], tests }) => {
      beforeEach(() => stage.world.renew(rules));
      afterEach(() => expect(stage.world.emqx.actions.flatMap(({ lost }) => lost)).toEqual([]));
      tests(stage);
    });
  });
}
