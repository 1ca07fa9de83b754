import { InstallerV5 } from '../../src/emqx/v5-installer';
import type { Wanted } from '../../src/emqx/installer';
import type { Stage, Suite } from './stage';

/** The rule that `emqx-offline-store rules --install` creates in EMQX carries a message from publisher to subscriber. */
export const installed: Suite = { name: 'a rule that `rules --install` created', policies: [], rules: [], tests };

function tests(stage: Stage): void {
  let installer: InstallerV5;
  beforeEach(() => {
    const { emqx } = stage.world;
    installer = new InstallerV5({ url: emqx.apiUrl, apiKey: emqx.apiKey, apiSecret: emqx.apiSecret });
  });
  afterEach(() => installer.close());

  async function install(set: Wanted['set'], topics: readonly string[], name = 'offline'): Promise<void> {
    const wanted: Wanted = { set, topics, name, url: stage.world.server.url };
    for (const change of await installer.plan(wanted)) await change.carryOut();
    expect(await installer.connection(wanted, 5_000)).toMatchObject({ connected: true });
    expect(await installer.firstEvent(wanted, 5_000)).toMatchObject({ outcome: 'arrived' });
  }

  it.each(['offline-messages', 'offline-only', 'full'] as const)(
    'of the set %s stores a message and removes it when a subscriber acknowledges it',
    async (set) => {
      const { world } = stage;
      await install(set, ['inst/#', 'other/+']);
      // The test event has stored nothing, and subscribed nobody.
      expect(await world.stored()).toEqual([]);
      await world.publish(`inst/${set}`, 'first');
      await world.publish('other/1', 'second');
      await world.publish('foreign/1', 'not of the rule');
      expect((await world.storedCount(2)).map(({ topic }) => topic).sort()).toEqual([`inst/${set}`, 'other/1']);
      const subscriber = await world.subscriber(`inst ${set}`);
      await subscriber.subscribe(`inst/${set}`);
      expect(await subscriber.receives(1)).toEqual(['first']);
      await world.storedCount(0, 'inst/#');
    },
  );

  it('two rules side by side store each message once, and can be removed separately', async () => {
    const { world } = stage;
    await install('offline-messages', ['inst/#']);
    await install('offline-messages', ['inst/both/#', 'north/#'], 'north');
    await world.publish('inst/both/1', 'twice told');
    await world.publish('north/1', 'north');
    await world.storedCount(2);
    await world.quiet();
    for (const change of await installer.planRemoval('north', null)) await change.carryOut();
    await world.publish('north/2', 'no rule any more');
    await world.publish('inst/2', 'still there');
    await world.storedCount(3);
    await world.quiet();
    expect((await world.stored()).map(({ topic }) => topic).sort()).toEqual(['inst/2', 'inst/both/1', 'north/1']);
  });
}
