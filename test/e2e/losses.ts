import { GRACE_MS, STALLED_MS } from '../../src/mailbox/times';
import { newId } from '../support/messages';
import { publishEvent } from '../support/events';
import { waitFor } from '../support/wait';
import type { Stage, Suite } from './stage';

/** Messages that EMQX loses without an event, and answers of EMQX that are lost. */
export const losses: Suite = { name: 'lost messages', policies: [{ filter: 't/23/#', window: 100 }], tests };

function tests(stage: Stage): void {
  const texts = (count: number) => Array.from({ length: count }, (_, i) => `m${i}`);
  const store = async (topic: string, count: number) => {
    await stage.world.post(texts(count).map((text) => publishEvent({ topic, id: newId(), payload: Buffer.from(text) })));
    await stage.world.storedCount(count);
  };

  /** A run fills its window of 100 to the half at least: how far depends on the size of the pages that it reads. */
  const fillsWindow = async (): Promise<number> => {
    await waitFor('more than half a window', () => stage.world.delivered.length > 50);
    await stage.world.quiet();
    return stage.world.delivered.length;
  };

  // The guards: stalledAt in plan.ts, `compared` in asked.ts. What is lost is more than the half that stops a run.
  it('promise 23: messages that EMQX drops from its queue without an event are sent again', async () => {
    const { world } = stage;
    world.emqx.renew({ inflight: 40, silent: true });
    await store('t/23/queue', 150);
    const subscriber = await world.subscriber('c23 queue');
    const acknowledge = subscriber.holdAcks();
    await subscriber.subscribe('t/23/queue');
    const sent = await fillsWindow();
    const session = world.emqx.broker.sessions.get('c23 queue');
    const queued = new Set(session?.queue.map(({ message }) => message.id));
    expect(session?.dropSilently(({ id }) => queued.has(id))).toBe(sent - 40);
    acknowledge();
    await world.quiet();
    expect((await world.stored()).length).toBeGreaterThanOrEqual(sent - 40);
    // Where the run had room for the rest nothing waits for what is lost: EMQX is asked after the longer time.
    for (let i = 0; i < 4 && (await world.stored()).length > 0; i++) await world.timePasses(2 * STALLED_MS);
    await world.storedCount(0);
    expect([...subscriber.texts].sort()).toEqual([...texts(150)].sort());
  });

  it('promise 23: all messages of a window are sent again when EMQX lost them', async () => {
    const { world } = stage;
    world.emqx.renew({ inflight: 40, silent: true });
    await store('t/23/all', 150);
    const subscriber = await world.subscriber('c23 all');
    const acknowledge = subscriber.holdAcks();
    await subscriber.subscribe('t/23/all');
    const sent = await fillsWindow();
    expect(world.emqx.broker.sessions.get('c23 all')?.dropSilently()).toBe(sent);
    // EMQX knows nothing of what these acknowledge.
    acknowledge();
    await world.quiet();
    expect(await world.stored()).toHaveLength(150);
    await world.timePasses();
    await world.storedCount(0);
    expect(new Set(subscriber.texts)).toEqual(new Set(texts(150)));
  });

  // The guards: LostAnswerError is final in Publisher, its copies are kept with an unknown id, and `compared` looks for them.
  it.each([
    ['has published them', 'lose-answer'],
    ['has not published them', 'lose-request'],
  ] as const)("promise 9: each message arrives once when EMQX's answer is lost and EMQX %s", async (which, outage) => {
    const { world } = stage;
    const topic = `t/lost/${outage}`;
    await store(topic, 20);
    const subscriber = await world.subscriber(`lost ${outage}`);
    world.emqx.rest.spoiled = { route: /^POST .*\/publish/, outage };
    await subscriber.subscribe(topic);
    await waitFor('the publish', () => world.emqx.rest.refused > 0);
    const refused = performance.now();
    world.emqx.rest.spoiled = null;
    if (outage === 'lose-answer') {
      expect(await subscriber.receives(20)).toEqual(texts(20));
      await world.storedCount(0);
    }
    await world.quiet();
    // Nothing is sent again before the look.
    expect(performance.now() - refused).toBeLessThan(GRACE_MS);
    expect(world.delivered).toHaveLength(outage === 'lose-answer' ? 20 : 0);
    await world.timePasses();
    expect(await subscriber.receives(20)).toEqual(texts(20));
    await world.storedCount(0);
    await world.timePasses();
    expect(subscriber.texts).toEqual(texts(20));
    expect(which).not.toBe('');
  });
}
