import type { AckedEvent, OfflineEvent, PublishEvent, SubscribedEvent } from '../../src/events/event';
import { route } from '../../src/door/route';
import { toWire } from '../../src/mqtt/message';
import { Signer } from '../../src/mailbox/signature';
import { message } from '../support/messages';
import { policy } from '../support/policies';

const signer = new Signer('key');
const to = (event: OfflineEvent, ...policies: Parameters<typeof policy>[0][]) =>
  route(event, policies.length === 0 ? [policy()] : policies.map(policy), signer);

const publish = (fields: Parameters<typeof message>[0], mark: PublishEvent['mark'] = null): PublishEvent => ({
  type: 'publish',
  message: toWire(message(fields)),
  mark,
});
const acked = (fields: Partial<AckedEvent> = {}): AckedEvent => ({
  ...{ type: 'acked', id: 'LIVE', topic: 't/1', clientid: 'c', mark: null, at: 1 },
  ...fields,
});
const subscribed = (filter: string): SubscribedEvent => ({ type: 'subscribed', clientid: 'c', filter, qos: 1, at: 1 });

describe('what an event asks for', () => {
  it('stores a publish until the earlier of its own expiry and the ttl (promise 12)', () => {
    const at = 1_000_000;
    const write = (expiresAt: number | null) => to(publish({ topic: 't/1', publishReceivedAt: at, expiresAt }), { ttlMs: 5_000 });
    expect(write(null)).toMatchObject([{ write: { kind: 'publish', message: { expiresAt: at + 5_000 } } }]);
    expect(write(at + 100)).toMatchObject([{ write: { message: { expiresAt: at + 100 } } }]);
    expect(write(at + 9_000)).toMatchObject([{ write: { message: { expiresAt: at + 5_000 } } }]);
  });

  it('stores QoS 0 only where the policy says so', () => {
    expect(to(publish({ topic: 't/1', qos: 0 }))).toEqual([]);
    expect(to(publish({ topic: 't/1', qos: 0 }), { storeQos0: true })).toHaveLength(1);
  });

  it('keeps a retained message where the policy says so, whatever its QoS and the mode, and lives as long as it says itself', () => {
    const retained = (fields: object, ...policies: Parameters<typeof policy>[0][]) => to(publish({ topic: 't/1', retain: true, ...fields }), ...policies);
    expect(retained({})).toEqual([{ write: expect.not.objectContaining({ retained: expect.anything() as string }) as object }]);
    for (const retain of ['store', 'restore'] as const) {
      expect(retained({}, { retain })).toMatchObject([{ write: { kind: 'publish', retained: 'too' } }]);
      expect(retained({ payload: Buffer.alloc(0) }, { retain })).toMatchObject([{ write: { retained: 'too' } }]);
      expect(retained({ qos: 0 }, { retain, ttlMs: 5 })).toMatchObject([{ write: { retained: 'only', message: { expiresAt: null } } }]);
      expect(retained({}, { retain, mode: 'off' })).toMatchObject([{ write: { retained: 'only' } }]);
      expect(to(publish({ topic: 't/1', qos: 0 }), { retain })).toEqual([]);
    }
    expect(retained({ qos: 0 }, { filter: 't/#' }, { retain: 'store' })).toEqual([]);
  });

  it('never keeps what it has published back itself (promise 8)', () => {
    const mark = { id: 'M', signature: signer.sign('M') };
    expect(to(publish({ topic: 't/1', retain: true }, mark), { retain: 'restore' })).toEqual([]);
    expect(to(publish({ topic: 't/1', retain: true }, { ...mark, signature: 'x' }), { retain: 'restore' })).toMatchObject([{ write: { retained: 'too' } }]);
  });

  it('lets the first policy that matches decide', () => {
    const policies = [{ filter: 't/off/#', mode: 'off' as const }, { filter: 't/#' }];
    expect(to(publish({ topic: 't/off/1' }), ...policies)).toEqual([]);
    expect(to(publish({ topic: 't/1' }), ...policies)).toHaveLength(1);
    expect(to(publish({ topic: 'u/1' }), ...policies)).toEqual([]);
    expect(to(subscribed('t/off/1'), ...policies)).toEqual([]);
    expect(to(acked({ topic: 't/off/1' }), ...policies)).toEqual([]);
  });

  // Promise 8. The guard is the check of the mark and of the inbox in routePublish.
  it('never stores a delivery of its own', () => {
    const mark = { id: 'M', signature: signer.sign('M') };
    expect(to(publish({ topic: 't/1' }, mark))).toEqual([]);
    expect(to(publish({ topic: '$offline/c/t/1' }, mark), { filter: '$offline/#' })).toEqual([]);
    expect(to(publish({ topic: '$offline/c/t/1' }), { filter: '$offline/#' })).toEqual([]);
  });

  // Stored is what some policy keeps; removed whatever is there, as policies change and operators have wishes of their own.
  it.each([
    ['t/1', true],
    ['#', true],
    ['$share/g/+/1', true],
    ['t/off/1', false],
    ['t/off/+', false],
    ['u/#', false],
    ['$SYS/#', false],
  ])('keeps the subscription to %s: %p', (filter, kept) => {
    const policies = [{ filter: 't/off/#', mode: 'off' as const }, { filter: 't/#' }];
    const { clientid, qos, at } = subscribed(filter) as SubscribedEvent;
    const change = { change: { kind: 'subscribed', clientid, filter, qos, at } };
    expect(to(subscribed(filter), ...policies)).toEqual(kept ? [change, { deliver: { clientid, filter, qos, at } }] : []);
    expect(to({ type: 'unsubscribed', clientid, filter, at }, ...policies)).toMatchObject([{ change: { kind: 'unsubscribed', filter } }]);
  });

  it('does nothing for its own inbox subscriptions (promise 8)', () => {
    for (const filter of ['$offline/c/#', '$share/g/$offline/c/#']) {
      expect(to(subscribed(filter), {}, { filter: '$offline/#' })).toEqual([]);
      expect(to({ type: 'unsubscribed', clientid: 'c', filter, at: 1 })).toEqual([]);
    }
  });

  // Promise 18. The guard is Signer.verified: with the id taken as it comes the forged marks are believed.
  it.each([
    ['missing', ''],
    ['wrong', 'x'.repeat(43)],
    ['of another id', signer.sign('OTHER')],
    ['of another key', new Signer('other key').sign('M')],
  ])('treats a mark whose signature is %s as none', (_, signature) => {
    const mark = { id: 'M', signature };
    expect(to(publish({ topic: 't/1' }, mark))).toMatchObject([{ write: { kind: 'publish' } }]);
    expect(to(acked({ mark }))).toMatchObject([{ write: { id: 'LIVE', ours: false } }]);
  });

  it('takes an ack of a delivery for the stored message, on its topic', () => {
    const mark = { id: 'M', signature: signer.sign('M') };
    expect(to(acked({ mark }))).toEqual([{ write: { kind: 'ack', id: 'M', topic: 't/1', clientid: 'c', ours: true } }]);
    expect(to(acked({ mark, topic: '$offline/c/t/1' }))).toMatchObject([{ write: { id: 'M', topic: 't/1', ours: true } }]);
  });

  it('takes an ack of what EMQX delivered itself for that message', () => {
    expect(to(acked())).toMatchObject([{ write: { id: 'LIVE', topic: 't/1', ours: false } }]);
    expect(to(acked({ topic: '$offline/c/t/1' }))).toEqual([]);
  });

  it.each(['t/1', 't/+', '#', '$share/g/t/#'])('delivers to a subscriber of %s (promise 15)', (filter) => {
    expect(to(subscribed(filter))).toContainEqual({ deliver: { clientid: 'c', filter, qos: 1, at: 1 } });
  });
});
