import { temporaryDirectory } from '../support/temp';
import { waitFor } from '../support/wait';
import { RetainedView } from './retained-view';
import { World } from './world';

/** Restoring retained messages by itself, and through trouble: by the clock, so each waits. The stores' part in it is in retained.ts. */
export function restoring(name: string, env: () => Record<string, string>): void {
  describe(`restoring retained messages, ${name}`, () => {
    const directory = temporaryDirectory();
    let world: World;
    const { texts, restore, atEmqx, published, done } = new RetainedView(() => world);
    const start = async (...policies: { filter: string; retain: string }[]) => {
      world = await World.start({ env: { DATA_DIR: directory.path, ...env(), POLICIES: JSON.stringify(policies) } });
      await world.request('DELETE', '/v1/messages?filter=%23');
    };
    /** Retained messages stay in the store, so every test has its own topic. */
    let topic = '';
    let number = 0;
    beforeEach(() => (topic = `t/${process.pid}-${++number}`));
    afterEach(async () => {
      expect(world.emqx.actions.flatMap(({ lost }) => lost)).toEqual([]);
      await world.stop();
    });
    afterAll(() => directory.remove());

    // The job waits and goes on where it was.
    it('promise 14: restores each message once when EMQX fails in the middle', async () => {
      await start({ filter: '#', retain: 'store' });
      const all = Array.from({ length: 100 }, (_, i) => `m${String(i).padStart(3, '0')}`);
      for (const text of all) await world.publish(`${topic}/${text}`, text, { retain: true, qos: 0 });
      await texts(`${topic}/#`, all);
      world.emqx.broker.retained.clear();
      let bulks = 0;
      world.emqx.rest.before = (route) => {
        if (route !== 'POST /publish/bulk' || ++bulks !== 2) return;
        world.emqx.rest.outage = 503;
        setTimeout(() => (world.emqx.rest.outage = null), 2_000);
      };
      await restore(`${topic}/#`);
      await waitFor('all at EMQX', () => world.emqx.broker.retained.size === 100);
      await done();
      expect(published().sort()).toEqual(all.map((text) => `${topic}/${text} ${text}`));
    });

    it('continues after a restart of the server', async () => {
      await start({ filter: '#', retain: 'store' });
      const all = Array.from({ length: 150 }, (_, i) => `m${String(i).padStart(3, '0')}`);
      for (const text of all) await world.publish(`${topic}/${text}`, text, { retain: true, qos: 0 });
      await texts(`${topic}/#`, all);
      world.emqx.broker.retained.clear();
      await restore(`${topic}/#`);
      await waitFor('some at EMQX', () => world.emqx.broker.retained.size > 0);
      await world.restartServer();
      await waitFor('all at EMQX', () => world.emqx.broker.retained.size === 150);
      await done();
      expect(published().sort()).toEqual(all.map((text) => `${topic}/${text} ${text}`));
    });

    it('starts when EMQX restarts without its retained messages, with retain: restore only', async () => {
      await start({ filter: `${topic}/only-stored`, retain: 'store' }, { filter: `${topic}/#`, retain: 'restore' });
      for (const path of ['a', 'deleted', 'only-stored', 'z']) await world.publish(`${topic}/${path}`, path, { retain: true });
      await world.publish(`${topic}/deleted`, '', { retain: true });
      await texts(`${topic}/#`, ['a', 'only-stored', 'z']);
      const looked = new Promise<void>(
        (resolve) => (world.emqx.rest.before = (route) => void (route === 'GET /mqtt/retainer/messages' && resolve())),
      );
      await looked;
      await world.emqx.restart();
      expect(world.emqx.broker.retained.size).toBe(0);
      await world.publish(`${topic}/z`, 'newer', { retain: true }, 'quick');
      const subscriber = await world.subscriber('back at once');
      await subscriber.subscribe(`${topic}/a`);
      await waitFor('it at EMQX', () => atEmqx(`${topic}/a`) === 'a', 25_000);
      await done();
      expect([...world.emqx.broker.retained.values()].map(({ payload }) => payload.toString()).sort()).toEqual(['a', 'newer']);
      // A client that subscribed before the restore gets the restored message only, and no ordinary copy.
      await world.storedCount(0, `${topic}/a`);
      expect(subscriber.texts).toEqual(['a']);
      // Once for each start: what somebody removes later in EMQX stays away.
      world.emqx.broker.retained.clear();
      await new Promise((resolve) => setTimeout(resolve, 8_000));
      expect(world.emqx.broker.retained.size).toBe(0);
      expect(subscriber.texts).toEqual(['a']);
    }, 60_000);

    // The guard is the comparison of the oldest with the start (RestoreWatch.decide).
    it('does not start when EMQX kept its retained messages over a restart', async () => {
      await start({ filter: `${topic}/#`, retain: 'restore' });
      await world.publish(`${topic}/kept`, 'kept', { retain: true });
      await world.publish(`${topic}/removed`, 'removed', { retain: true });
      await texts(`${topic}/#`, ['kept', 'removed']);
      // Longer than the 4 s within which two start times are the same, and the second that EMQX's clock is read with.
      await world.emqx.restart({ keepsRetained: true, downMs: 7_000 });
      // In EMQX's dashboard: no event tells.
      world.emqx.broker.retained.delete(`${topic}/removed`);
      await new Promise((resolve) => setTimeout(resolve, 13_000));
      await done();
      expect(published()).toEqual([]);
    }, 60_000);
  });
}
