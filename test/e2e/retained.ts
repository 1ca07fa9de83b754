import { newId } from '../support/messages';
import { ackEvent, publishEvent } from '../support/events';
import { temporaryDirectory } from '../support/temp';
import { waitFor } from '../support/wait';
import { World, type Subscriber, type WorldOptions } from './world';

interface Retained {
  readonly id: string;
  readonly topic: string;
  readonly text: string;
  readonly retain: boolean;
}

/** Retained messages on real MQTT clients; `env` chooses queue and store. */
export function retained(name: string, env: () => Record<string, string>): void {
  describe(`retained messages, ${name}`, () => {
    const directory = temporaryDirectory();
    let world: World;
    const start = async (policy: Record<string, unknown>, options: WorldOptions = {}) => {
      const POLICIES = JSON.stringify([{ filter: '#', ...policy }]);
      world = await World.start({ ...options, env: { DATA_DIR: directory.path, ...env(), POLICIES, ...options.env } });
      await fetch(`${world.server.url}/v1/messages?filter=%23`, { method: 'DELETE' });
      return world;
    };
    const post = async (path: string, body?: unknown) =>
      fetch(`${world.server.url}${path}`, {
        method: 'POST',
        ...(body !== undefined && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
      });
    const list = async (filter: string): Promise<Retained[]> => {
      const answer = await fetch(`${world.server.url}/v1/retained?limit=1000&filter=${encodeURIComponent(filter)}`);
      return ((await answer.json()) as { messages: Retained[] }).messages;
    };
    const texts = (filter: string, expected: string[]) =>
      waitFor(`retained ${expected.join()}`, async () => {
        const found = (await list(filter)).map(({ text }) => text);
        return JSON.stringify(found) === JSON.stringify(expected);
      });
    const restore = async (filter?: string) => expect((await post('/v1/retained/restore', filter === undefined ? undefined : { filter })).status).toBe(202);
    const atEmqx = (topic: string) => world.emqx.broker.retained.get(topic)?.payload.toString();
    /** What was published by REST with the retain flag. */
    const published = () => world.emqx.rest.publishes.filter((entry) => entry['retain'] === true).map((entry) => `${String(entry['topic'])} ${Buffer.from(String(entry['payload']), 'base64').toString()}`);
    /** Nothing runs, waits or is to come in the lane that restores; twice in a row, as a job may just be changing its state. */
    const done = async () => {
      let idle = 0;
      await waitFor('the restore to end', async () => {
        await world.quiet();
        const { lanes } = (await (await fetch(`${world.server.url}/v1/stats`)).json()) as { lanes: { name: string; waiting: number; active: number; delayed: number }[] };
        const busy = lanes.some(({ name, waiting, active, delayed }) => waiting + active > 0 || (name === 'clients-0' && delayed > 0));
        idle = busy ? 0 : idle + 1;
        return idle >= 2;
      });
    };
    /** Every test has topics of its own: what is retained stays in the store. */
    let topic = '';
    let number = 0;
    beforeEach(() => (topic = `t/${process.pid}-${++number}`));
    afterEach(async () => {
      expect(world.emqx.actions.flatMap(({ lost }) => lost)).toEqual([]);
      await world.stop();
    });
    afterAll(() => directory.remove());

    it('are stored, replaced and deleted by an empty payload, QoS 0 too', async () => {
      await start({ retain: 'store' });
      await world.publish(`${topic}/a`, 'one', { retain: true, qos: 0 });
      await world.publish(`${topic}/b`, 'other', { retain: true });
      await world.publish(`${topic}/c`, 'not retained');
      await texts(`${topic}/#`, ['one', 'other']);
      await world.publish(`${topic}/a`, 'two', { retain: true });
      await texts(`${topic}/#`, ['two', 'other']);
      await world.publish(`${topic}/b`, '', { retain: true, qos: 0 });
      await texts(`${topic}/#`, ['two']);
      expect(await list(`${topic}/#`)).toMatchObject([{ topic: `${topic}/a`, retain: true, text: 'two' }]);
    });

    it('are not kept with retain off, and kept alone with mode off', async () => {
      await start({ retain: 'off' });
      await world.publish(topic, 'x', { retain: true });
      await world.quiet();
      expect(await list(topic)).toEqual([]);
      await world.stop();
      await start({ retain: 'store', mode: 'off' });
      await world.publish(topic, 'y', { retain: true });
      await texts(topic, ['y']);
      expect(await world.stored(topic)).toEqual([]);
    });

    // The newest id wins whatever the order of events. The guards: the store's comparison of ids, RetainedKeeper.cleared.
    it.each([
      ['a publish after its deletion', ['M1', 'D2'], ['D2', 'M1'], []],
      ['an older publish last', ['M1', 'M2'], ['M2', 'M1'], ['M2']],
      ['a deletion late', ['M1', 'D2', 'M3'], ['M1', 'M3', 'D2'], ['M3']],
      ['all of it twice', ['M1', 'D2', 'M3', 'D4'], ['M1', 'D2', 'M3', 'D4', 'M1', 'M3', 'D2'], []],
    ])('come in any order: %s', async (_, all, order, left) => {
      await start({ retain: 'store' });
      const events = new Map(all.map((text) => [text, publishEvent({ topic, id: newId(), retain: true, payload: Buffer.from(text.startsWith('D') ? '' : text) })]));
      for (const text of order) {
        expect((await post('/v1/events', events.get(text))).status).toBe(202);
        await world.quiet();
      }
      await texts(topic, left);
    });

    it('reach a subscriber once: EMQX sends them, with retain store and restore as with off', async () => {
      for (const retain of ['off', 'store', 'restore']) {
        await start({ retain });
        await world.publish(`${topic}/${retain}`, 'kept by both', { retain: true });
        await world.storedCount(1);
        const subscriber = await world.subscriber('s');
        await subscriber.subscribe(`${topic}/#`);
        expect(await subscriber.receives(1)).toEqual(['kept by both']);
        expect(subscriber.received[0]!.retain).toBe(true);
        await world.storedCount(0);
        await world.quiet();
        expect(subscriber.texts).toEqual(['kept by both']);
        expect(world.emqx.rest.publishes).toEqual([]);
        if (retain !== 'restore') await world.stop();
      }
    });

    // No ack tells that EMQX's copy arrived. The guard is Sender.sentByEmqx: the look after 10 s would send it again.
    it('reach a QoS 0 subscriber once', async () => {
      await start({ retain: 'store' });
      await world.publish(topic, 'kept by both', { retain: true });
      await world.storedCount(1);
      const subscriber = await world.subscriber('s0');
      await subscriber.subscribe(topic, 0);
      await subscriber.receives(1);
      // By the look after the grace: delivered is enough (promise 16).
      await world.storedCount(0);
      await world.quiet();
      expect(subscriber.texts).toEqual(['kept by both']);
      expect(world.emqx.rest.publishes).toEqual([]);
    });

    it('reach a QoS 0 subscriber from us when EMQX has lost them', async () => {
      await start({ retain: 'store' });
      await world.publish(topic, 'kept by us', { retain: true });
      await world.storedCount(1);
      world.emqx.broker.retained.clear();
      const subscriber = await world.subscriber('s0');
      await subscriber.subscribe(topic, 0);
      expect(await subscriber.receives(1)).toEqual(['kept by us']);
      await world.storedCount(0);
    });

    describe('published back on demand', () => {
      it('into an empty broker, with all their properties, once, and stored no second time', async () => {
        await start({ retain: 'store' }, { rules: null });
        const properties = { contentType: 'text/plain', messageExpiryInterval: 600, userProperties: { a: '1' } };
        for (let i = 0; i < 70; i++) await world.publish(`${topic}/${String(i).padStart(2, '0')}`, `m${i}`, { retain: true, qos: i % 2 === 0 ? 1 : 0, properties });
        await texts(`${topic}/#`, Array.from({ length: 70 }, (_, i) => `m${i}`));
        const before = await list(`${topic}/#`);
        world.emqx.broker.retained.clear();
        await restore(`${topic}/#`);
        await waitFor('all at EMQX', () => world.emqx.broker.retained.size === 70);
        await done();
        expect(published()).toHaveLength(70);
        expect(await list(`${topic}/#`)).toEqual(before);
        // Ordinary copies: of the QoS 1 ones only, and none more than before.
        expect(await world.stored(`${topic}/#`)).toHaveLength(35);

        const subscriber: Subscriber = await world.subscriber('later', { protocolVersion: 5 });
        await subscriber.subscribe(`${topic}/00`);
        await subscriber.receives(1);
        const [packet] = subscriber.received;
        expect(packet).toMatchObject({ retain: true, qos: 1, properties: { contentType: 'text/plain', userProperties: { a: '1', 'offline-msgid': before[0]!.id } } });
        expect(packet!.properties!.messageExpiryInterval).toBeLessThanOrEqual(600);
        // Its ack removes the ordinary copy; nothing is sent beside EMQX's own.
        await world.storedCount(34, `${topic}/#`);
        await world.quiet();
        expect(subscriber.texts).toEqual(['m0']);
        // Again: nothing is missing.
        await restore(`${topic}/#`);
        await done();
        expect(published()).toHaveLength(70);
      });

      // Promise 12; the guard is Restorer.isAlive.
      it('with what is left of their expiry, expired ones left out', async () => {
        await start({ retain: 'store' });
        const at = Date.now() - 10_000;
        const event = (path: string, seconds: number) =>
          publishEvent({ topic: `${topic}/${path}`, id: newId(), retain: true, publishReceivedAt: at, properties: { messageExpiryInterval: seconds } });
        await post('/v1/events', [event('alive', 100), event('expired', 5)]);
        await waitFor('it to be stored', async () => (await list(`${topic}/#`)).length === 1);
        await restore(`${topic}/#`);
        await waitFor('it at EMQX', () => atEmqx(`${topic}/alive`) === 'hello');
        await done();
        expect(world.emqx.rest.publishes).toHaveLength(1);
        const { message_expiry_interval: left } = world.emqx.rest.publishes[0]!['properties'] as { message_expiry_interval: number };
        expect(left).toBeGreaterThan(60);
        expect(left).toBeLessThanOrEqual(90);
      });

      // The guard is absentOf.
      it('never over what the broker has', async () => {
        await start({ retain: 'store' });
        await world.publish(topic, 'old', { retain: true });
        await texts(topic, ['old']);
        const held = world.emqx.action.hold(({ event }) => event === 'message.publish');
        await world.publish(topic, 'new', { retain: true }, 'another');
        await restore(topic);
        await done();
        expect(published()).toEqual([]);
        expect(atEmqx(topic)).toBe('new');
        held.release();
        await texts(topic, ['new']);
      });

      // The guards: RestoredCopies noted before the reading, RetainedKeeper.reconcile, Restorer.reconcile.
      it.each([
        ['replaces it', 'new', 'new'],
        ['deletes it', '', undefined],
      ])('and gives way to a client that %s in the moment between question and publish', async (_, payload, left) => {
        await start({ retain: 'store' });
        await world.publish(topic, 'old', { retain: true });
        await texts(topic, ['old']);
        world.emqx.broker.retained.clear();
        const held = world.emqx.action.hold(({ event }) => event === 'message.publish');
        const common = { clientid: 'racer', username: null, topic, qos: 1 as const, retain: true, properties: {} };
        world.emqx.rest.before = (route) => {
          if (route !== 'POST /publish') return;
          world.emqx.rest.before = () => undefined;
          world.emqx.broker.publish({ ...common, payload: Buffer.from(payload) });
        };
        await restore(topic);
        await done();
        // EMQX keeps what came last: this is what remains, until the event arrives.
        expect(atEmqx(topic)).toBe('old');
        held.release();
        await waitFor('the client to have its way', () => atEmqx(topic) === left);
        await texts(topic, left === undefined ? [] : [left]);
        await done();
        expect(atEmqx(topic)).toBe(left);
      });

      // EMQX kept the event while we were away; the deletion wins when it arrives.
      it('and are deleted when the deletion arrives after the restore', async () => {
        await start({ retain: 'store' });
        await world.publish(topic, 'old', { retain: true });
        await texts(topic, ['old']);
        const held = world.emqx.action.hold(({ event }) => event === 'message.publish');
        await world.publish(topic, '', { retain: true }, 'another');
        expect(atEmqx(topic)).toBeUndefined();
        await restore(topic);
        await waitFor('it at EMQX', () => atEmqx(topic) === 'old');
        held.release();
        await waitFor('the deletion', () => atEmqx(topic) === undefined);
        await texts(topic, []);
      });

      it('and a later publish of a client stays as it is', async () => {
        await start({ retain: 'store' });
        await world.publish(topic, 'old', { retain: true });
        await texts(topic, ['old']);
        world.emqx.broker.retained.clear();
        await restore(topic);
        await done();
        await world.publish(topic, 'new', { retain: true });
        await texts(topic, ['new']);
        await world.publish(topic, '', { retain: true });
        await texts(topic, []);
        await done();
        expect(published()).toEqual([`${topic} old`]);
        expect(atEmqx(topic)).toBeUndefined();
      });

      // Promise 14: the job waits and goes on where it was.
      it('with EMQX away in the middle: all of them, each once', async () => {
        await start({ retain: 'store' });
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

      it('goes on after a restart of the server', async () => {
        await start({ retain: 'store' });
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

      it('says when EMQX does not retain one, and goes on', async () => {
        await start({ retain: 'store' });
        for (const path of ['a', 'b', 'c']) await world.publish(`${topic}/${path}`, path, { retain: true });
        await texts(`${topic}/#`, ['a', 'b', 'c']);
        world.emqx.broker.retained.clear();
        world.emqx.broker.retains = (each) => !each.endsWith('/b');
        await restore(`${topic}/#`);
        await waitFor('the others at EMQX', () => world.emqx.broker.retained.size === 2);
        await done();
        const metrics = await (await fetch(`${world.server.url}/metrics`)).text();
        expect(metrics).toContain('emqx_offline_retained_restored_total{outcome="refused"} 1');
        expect(metrics).toContain('emqx_offline_retained_restored_total{outcome="restored"} 2');
        expect(published()).toHaveLength(3);
      });
    });

    describe('published back by themselves', () => {
      it('when EMQX has started without them; not those that were deleted or are newer, and only with retain restore', async () => {
        const POLICIES = JSON.stringify([{ filter: `${topic}/only-stored`, retain: 'store' }, { filter: `${topic}/#`, retain: 'restore' }]);
        await start({}, { env: { POLICIES } });
        for (const path of ['a', 'deleted', 'only-stored', 'z']) await world.publish(`${topic}/${path}`, path, { retain: true });
        await world.publish(`${topic}/deleted`, '', { retain: true });
        await texts(`${topic}/#`, ['a', 'only-stored', 'z']);
        const looked = new Promise<void>((resolve) => (world.emqx.rest.before = (route) => void (route === 'GET /mqtt/retainer/messages' && resolve())));
        await looked;
        await world.emqx.restart();
        expect(world.emqx.broker.retained.size).toBe(0);
        await world.publish(`${topic}/z`, 'newer', { retain: true }, 'quick');
        const subscriber = await world.subscriber('back at once');
        await subscriber.subscribe(`${topic}/a`);
        await waitFor('it at EMQX', () => atEmqx(`${topic}/a`) === 'a', 25_000);
        await done();
        expect([...world.emqx.broker.retained.values()].map(({ payload }) => payload.toString()).sort()).toEqual(['a', 'newer']);
        // Who came before it was there got it from the restore, and no ordinary copy beside it.
        await world.storedCount(0, `${topic}/a`);
        expect(subscriber.texts).toEqual(['a']);
        // Once for each start: what somebody removes later in EMQX stays away.
        world.emqx.broker.retained.clear();
        await new Promise((resolve) => setTimeout(resolve, 8_000));
        expect(world.emqx.broker.retained.size).toBe(0);
        expect(subscriber.texts).toEqual(['a']);
      }, 60_000);

      // The guard is the comparison of the oldest with the start (RestoreWatch.decide).
      it('not when EMQX has kept its own', async () => {
        await start({ filter: `${topic}/#`, retain: 'restore' });
        await world.publish(`${topic}/kept`, 'kept', { retain: true });
        await world.publish(`${topic}/removed`, 'removed', { retain: true });
        await texts(`${topic}/#`, ['kept', 'removed']);
        await world.emqx.restart({ keepsRetained: true, downMs: 5_000 });
        // In EMQX's dashboard: no event tells.
        world.emqx.broker.retained.delete(`${topic}/removed`);
        await new Promise((resolve) => setTimeout(resolve, 13_000));
        await done();
        expect(published()).toEqual([]);
      }, 60_000);
    });

    it('are not believed to be ours without our signature (promise 18)', async () => {
      await start({ retain: 'store' }, { rules: null });
      const properties = { userProperties: { 'offline-msgid': newId(), 'offline-sig': 'A'.repeat(43) } };
      await world.publish(topic, 'forged mark', { retain: true, properties });
      await texts(topic, ['forged mark']);
      expect((await post('/v1/events', ackEvent(newId(), topic))).status).toBe(202);
    });
  });
}
