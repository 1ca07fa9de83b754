import { GRACE_MS } from '../../src/mailbox/times';
import { waitFor } from '../support/wait';
import type { Stage, Suite } from './stage';
import type { Subscriber } from './subscriber';
import type { Rules } from './world';

const PERSISTENT = { clean: false, protocolVersion: 5 as const, properties: { sessionExpiryInterval: 300 } };
const COUNT = 30;

/** Sessions that outlive their connection: what EMQX holds for them it delivers itself when they resume, and what it has lost is ours to deliver. */
export const resuming: Suite = { name: 'sessions that resume', policies: [], tests };

function tests(stage: Stage): void {
  const texts = Array.from({ length: COUNT }, (_, i) => `m${i}`);
  const rules: [string, Rules][] = [
    ['offline-messages', ['offline-messages']],
    ['full', ['full']],
    ['SELECT *', null],
  ];

  /** A client with a persistent session leaves, and EMQX queues the messages for it. */
  const away = async (clientid: string, topic: string, options: object = PERSISTENT) => {
    const { world } = stage;
    const before = await world.subscriber(clientid, options);
    await before.subscribe(topic);
    await world.quiet();
    await before.disconnect();
    for (const text of texts) await world.publish(topic, text);
    await world.storedCount(COUNT);
  };
  const back = async (clientid: string, topic: string) => {
    const again = await stage.world.subscriber(clientid, PERSISTENT);
    await again.subscribe(topic);
    return again;
  };
  /** Each of them once, and no more after the later look. */
  const hasEachOnce = async (subscriber: Subscriber) => {
    const { world } = stage;
    await subscriber.receives(COUNT);
    await world.storedCount(0);
    await world.timePasses();
    expect([...subscriber.texts].sort()).toEqual([...texts].sort());
  };
  const dropOdd = (clientid: string): number =>
    stage.world.emqx.broker.sessions.get(clientid)?.dropSilently(({ payload }) => Number(payload.toString().slice(1)) % 2 === 1) ?? 0;
  const odd = texts.filter((_, i) => i % 2 === 1);

  // The guards: Asker and `compared` in asked.ts. The acknowledgements of what EMQX sends arrive after the SUBSCRIBE (the stand-in's late acks).
  it.each(stage.form === 'short' ? rules.slice(0, 1) : rules)(
    'promise 19: messages that EMQX holds for a session arrive once, with rule set %s',
    async (name, set) => {
      const { world } = stage;
      await world.useRules(set);
      await away(`resume ${name}`, 't/19/held');
      const again = await back(`resume ${name}`, 't/19/held');
      await hasEachOnce(again);
      expect(again.texts).toEqual(texts);
      expect(world.delivered).toEqual([]);
    },
  );

  // The guard is `lost`: what EMQX's list does not name is sent.
  it('promise 19: the server sends the messages that EMQX lost, and EMQX the others', async () => {
    const { world } = stage;
    await away('lossy', 't/19/lossy');
    expect(dropOdd('lossy')).toBe(odd.length);
    await hasEachOnce(await back('lossy', 't/19/lossy'));
    expect(world.delivered).toEqual(odd);
  });

  it('promise 19: the server sends the messages that an expired session held', async () => {
    const { world } = stage;
    await away('expired', 't/19/expired', { ...PERSISTENT, properties: { sessionExpiryInterval: 1 } });
    await waitFor('the end of the session', () => !world.emqx.broker.sessions.has('expired'));
    const subscribed = performance.now();
    const again = await back('expired', 't/19/expired');
    await again.receives(COUNT);
    // At once, not when the later look finds it.
    expect(performance.now() - subscribed).toBeLessThan(GRACE_MS);
    await hasEachOnce(again);
    expect(world.delivered).toEqual(texts);
  });

  if (stage.form === 'short') return;

  // The guard is `guessed` in asked.ts.
  it.each([
    ['that holds every message', 0],
    ['that lost some messages', odd.length],
  ])('promise 19: each message arrives once when EMQX cannot list a session %s', async (which, count) => {
    const { world } = stage;
    world.emqx.rest.listsSessions = false;
    await away(`unlisted ${which}`, 't/19/unlisted');
    if (count > 0) expect(dropOdd(`unlisted ${which}`)).toBe(count);
    await hasEachOnce(await back(`unlisted ${which}`, 't/19/unlisted'));
    expect(world.delivered).toHaveLength(count);
  });
}
