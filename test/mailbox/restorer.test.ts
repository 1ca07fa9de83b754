import type { Delivery } from '../../src/emqx/api';
import { RefusedError, RetryableError } from '../../src/base/errors';
import type { Message } from '../../src/mqtt/message';
import { RestoredCopies } from '../../src/mailbox/retained/restored-copies';
import { Restorer } from '../../src/mailbox/retained/restorer';
import { Signer } from '../../src/mailbox/signature';
import { createLogger } from '../../src/base/log';
import { createMetrics } from '../../src/base/metrics';
import type { RestoreStep } from '../../src/lanes/jobs';
import { Outcomes } from '../../src/lanes/outcomes';
import { message } from '../support/messages';
import { policy } from '../support/policies';
import { MemoryState } from './simulation/state';

const NOW = 1_000_000;
const step: RestoreStep = { filter: '#', before: null, after: '' };
/** The mark of the restored message A of topic t, which belongs to no client. */
const MARK = new Signer('key').sign('A', 't', { mailbox: '', kind: 'retained' });
const kept = (topic: string, id: string, fields: Partial<Message> = {}) =>
  message({ topic, id, retain: true, publishReceivedAt: 1_000, ...fields });

/** Store and EMQX as maps; EMQX's ids are E0, E1, ... */
function subject(stored: Message[], { retain = 'store', on = true }: { retain?: 'off' | 'store' | 'restore'; on?: boolean } = {}) {
  const atEmqx = new Map<string, string>();
  const published: Delivery[] = [];
  const steps: { step: RestoreStep; delay: number | null }[] = [];
  const hooks = { beforePublish: async (): Promise<void> => undefined, beforeRead: async (): Promise<void> => undefined };
  const state = new MemoryState(() => NOW);
  const db = new Map(stored.map((each) => [each.topic, each]));
  const restorer = new Restorer({
    store: {
      listRetained: async ({ filter, after, limit }) => {
        await hooks.beforeRead();
        return [...db.values()]
          .filter(({ topic }) => topic > after && (filter === '#' || filter === topic))
          .sort((a, b) => (a.topic < b.topic ? -1 : 1))
          .slice(0, limit);
      },
    },
    emqx: {
      publish: async (deliveries) => {
        await hooks.beforePublish();
        for (const delivery of deliveries) {
          if (delivery.payload.length === 0) atEmqx.delete(delivery.topic);
          else atEmqx.set(delivery.topic, `E${published.length}`);
          published.push(delivery);
        }
        return deliveries.map(() => ({ result: 'no-subscribers' as const }));
      },
    },
    retainer: {
      isOn: async () => on,
      startedAt: async () => null,
      oldest: async () => null,
      idOf: async (topic) => (topic === '..' ? Promise.reject(new RefusedError('no path')) : (atEmqx.get(topic) ?? null)),
    },
    state,
    lanes: { restore: async (next, delay) => void steps.push({ step: next, delay: delay ?? null }) },
    policies: [policy({ retain })],
    signer: new Signer('key'),
    metrics: createMetrics(),
    log: createLogger({ level: 'silent' }),
    now: () => NOW,
  });
  return { restorer, atEmqx, published, steps, db, hooks, copies: new RestoredCopies(state), outcomes: new Outcomes(state) };
}

describe('the restorer', () => {
  it('publishes page by page with a pause between', async () => {
    const topics = Array.from({ length: 40 }, (_, i) => `t/${String(i).padStart(2, '0')}`);
    const { restorer, published, steps } = subject(topics.map((topic) => kept(topic, 'A')));
    await restorer.handle({ name: 'restore', data: step });
    expect(published.map(({ topic }) => topic)).toEqual(topics.slice(0, 32));
    expect(steps).toEqual([{ step: { ...step, after: 't/31' }, delay: 100 }]);
    await restorer.handle({ name: 'restore', data: steps[0]!.step });
    await restorer.handle({ name: 'restore', data: steps[1]!.step });
    expect(published).toHaveLength(40);
    expect(steps).toHaveLength(2);
  });

  it('records the outcome for the request', async () => {
    const { restorer, steps, atEmqx, outcomes } = subject([kept('..', 'A'), kept('t/1', 'B'), kept('t/2', 'C')]);
    atEmqx.set('t/2', 'client');
    await restorer.handle({ name: 'restore', data: { ...step, requestId: 'R' } });
    const counts = { filter: '#', published: 1, kept: 1, failed: 1 };
    expect(await outcomes.restore('R')).toMatchObject({ ...counts, state: 'running' });
    await restorer.handle({ name: 'restore', data: steps[0]!.step });
    expect(await outcomes.restore('R')).toEqual({
      ...counts,
      state: 'done',
      detail: expect.stringMatching(/^1 retained message was published/),
    });
    const off = subject([kept('t', 'A')], { on: false });
    await off.restorer.handle({ name: 'restore', data: { ...step, requestId: 'R' } });
    expect(await off.outcomes.restore('R')).toMatchObject({ state: 'failed', published: 0 });
  });

  it('skips a topic that no REST path can name, and restores the others', async () => {
    const { restorer, published, steps } = subject([kept('..', 'A'), kept('t', 'B')]);
    await restorer.handle({ name: 'restore', data: step });
    expect(published.map(({ topic }) => topic)).toEqual(['t']);
    expect(steps).toHaveLength(1);
  });

  it("publishes with the retain flag and the server's signed mark (promise 8)", async () => {
    const { restorer, published } = subject([kept('t', 'A', { qos: 2 })]);
    await restorer.handle({ name: 'restore', data: step });
    const userProperties = { 'offline-msgid': 'A', 'offline-sig': MARK };
    expect(published).toMatchObject([{ topic: 't', qos: 2, retain: true, properties: { userProperties } }]);
  });

  it.each<[string, Partial<Message>, 'off' | 'store' | 'restore', number | null, boolean]>([
    ['requested by an operator, with retain: store', {}, 'store', null, true],
    ['requested by an operator, with retain: restore', {}, 'restore', null, true],
    ['requested by an operator, with retain: off', {}, 'off', null, false],
    ['automatic, with retain: store', {}, 'store', 2_000, false],
    ["automatic, published before EMQX's start", {}, 'restore', 2_000, true],
    ["automatic, published after EMQX's start", {}, 'restore', 1_000, false],
    ['expired', { expiresAt: NOW }, 'restore', null, false],
    ['not expired yet', { expiresAt: NOW + 1 }, 'restore', null, true],
    ['without a payload', { payload: Buffer.alloc(0) }, 'restore', null, false],
  ])('decides whether to publish a message: %s', async (_, fields, retain, before, chosen) => {
    const { restorer, published } = subject([kept('t', 'A', fields)], { retain });
    await restorer.handle({ name: 'restore', data: { ...step, before } });
    expect(published).toHaveLength(chosen ? 1 : 0);
  });

  it('publishes nothing to an EMQX whose retainer is off', async () => {
    const { restorer, published, steps } = subject([kept('t', 'A')], { on: false });
    await restorer.handle({ name: 'restore', data: step });
    expect([published, steps]).toEqual([[], []]);
  });

  // The guard is the second reading in Restorer.restore.
  it('publishes the message that is stored after the restore was noted', async () => {
    const { restorer, published, db, hooks, copies } = subject([kept('gone', 'A'), kept('replaced', 'A')]);
    let reads = 0;
    hooks.beforeRead = async () => {
      if (++reads !== 2) return;
      // Every write from here on sees the note.
      expect(await copies.of('gone')).toEqual({ copyId: null, id: 'A' });
      db.delete('gone');
      db.set('replaced', kept('replaced', 'B'));
    };
    await restorer.handle({ name: 'restore', data: step });
    expect(published.map(({ topic, properties }) => [topic, properties.userProperties['offline-msgid']])).toEqual([['replaced', 'B']]);
    expect(await copies.of('gone')).toBeNull();
    expect(await copies.of('replaced')).toEqual({ copyId: 'E0', id: 'B' });
  });

  it('publishes nothing twice when it is repeated after a crash', async () => {
    const { restorer, published, hooks, copies, atEmqx } = subject([kept('t', 'A')]);
    hooks.beforePublish = async () => {
      atEmqx.set('t', 'E9');
      throw new RetryableError('the process died after EMQX had it');
    };
    await expect(restorer.handle({ name: 'restore', data: step })).rejects.toThrow(RetryableError);
    hooks.beforePublish = async () => undefined;
    await restorer.handle({ name: 'restore', data: step });
    expect(published).toEqual([]);
    expect(await copies.of('t')).toEqual({ copyId: 'E9', id: 'A' });
  });

  describe("when a restored message replaced a client's newer one", () => {
    const restored = async (...now: Message[]) => {
      const it = subject(now);
      it.atEmqx.set('t', 'E9');
      await it.copies.note('t', { copyId: 'E9', id: 'A' });
      return it;
    };
    const job = { name: 'reconcile', data: { topics: ['t'] } } as const;

    it("publishes the client's message again", async () => {
      const { restorer, published, copies } = await restored(kept('t', 'B'));
      await restorer.handle(job);
      expect(published).toMatchObject([{ retain: true, properties: { userProperties: { 'offline-msgid': 'B' } } }]);
      expect(await copies.of('t')).toEqual({ copyId: 'E0', id: 'B' });
      // Run again: nothing.
      await restorer.handle(job);
      expect(published).toHaveLength(1);
    });

    it('deletes the restored message when the client had deleted its own', async () => {
      const { restorer, published, copies } = await restored();
      await restorer.handle(job);
      expect(published).toMatchObject([{ topic: 't', retain: true, payload: Buffer.alloc(0) }]);
      expect(published[0]!.properties.userProperties['offline-sig']).toBe(MARK);
      expect(await copies.of('t')).toBeNull();
    });

    // The guard is the comparison of ids in Restorer.reconcile.
    it('keeps the message that another client published since', async () => {
      const { restorer, published, atEmqx } = await restored();
      atEmqx.set('t', 'F');
      await restorer.handle(job);
      expect(published).toEqual([]);
    });

    it('does nothing when the message is the same or none was restored', async () => {
      const { restorer, published, copies } = await restored(kept('t', 'A'));
      await restorer.handle(job);
      await copies.forget('t');
      await restorer.handle(job);
      expect(published).toEqual([]);
    });
  });
});
