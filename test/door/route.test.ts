import type { AckedEvent, DeliveryDroppedEvent, Mark, OfflineEvent, PublishEvent, SubscribedEvent } from '../../src/events/event';
import { route } from '../../src/door/route';
import { toWire } from '../../src/mqtt/message';
import { clientKey, mailboxKey } from '../../src/mqtt/consumer';
import { Signer, type Address } from '../../src/mailbox/signature';
import { message } from '../support/messages';
import { policy } from '../support/policies';

const signer = new Signer('key');
const to = (event: OfflineEvent, ...policies: Parameters<typeof policy>[0][]) =>
  route(event, policies.length === 0 ? [policy()] : policies.map(policy), signer);

/** Of a delivery of ours of the stored message M. */
const marked = (topic = 't/1', address: Address = { mailbox: clientKey('c'), kind: 'own' }): Mark => ({
  id: 'M',
  signature: signer.sign('M', topic, address),
});
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

describe('routing an event', () => {
  it('stores a publish until the earlier of its own expiry and the ttl (promise 12)', () => {
    const at = 1_000_000;
    const write = (expiresAt: number | null) => to(publish({ topic: 't/1', publishReceivedAt: at, expiresAt }), { ttlMs: 5_000 });
    expect(write(null)).toMatchObject([{ write: { kind: 'publish', message: { expiresAt: at + 5_000 } } }]);
    expect(write(at + 100)).toMatchObject([{ write: { message: { expiresAt: at + 100 } } }]);
    expect(write(at + 9_000)).toMatchObject([{ write: { message: { expiresAt: at + 5_000 } } }]);
  });

  it('stores QoS 0 messages only with storeQos0', () => {
    expect(to(publish({ topic: 't/1', qos: 0 }))).toEqual([]);
    expect(to(publish({ topic: 't/1', qos: 0 }), { storeQos0: true })).toHaveLength(1);
  });

  it('keeps a retained message with retain: store or restore at any QoS and in any mode', () => {
    const retained = (fields: object, ...policies: Parameters<typeof policy>[0][]) =>
      to(publish({ topic: 't/1', retain: true, ...fields }), ...policies);
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

  it('never stores a retained message that the server restored itself (promise 8)', () => {
    const mark = marked('t/1', { mailbox: '', kind: 'retained' });
    expect(to(publish({ topic: 't/1', retain: true }, mark), { retain: 'restore' })).toEqual([]);
    expect(to(publish({ topic: 't/1', retain: true }, { ...mark, signature: 'x' }), { retain: 'restore' })).toMatchObject([
      { write: { retained: 'too' } },
    ]);
  });

  it('uses the first matching policy', () => {
    const policies = [{ filter: 't/off/#', mode: 'off' as const }, { filter: 't/#' }];
    expect(to(publish({ topic: 't/off/1' }), ...policies)).toEqual([]);
    expect(to(publish({ topic: 't/1' }), ...policies)).toHaveLength(1);
    expect(to(publish({ topic: 'u/1' }), ...policies)).toEqual([]);
    expect(to(subscribed('t/off/1'), ...policies)).toEqual([]);
    expect(to(acked({ topic: 't/off/1' }), ...policies)).toEqual([]);
  });

  // Promise 8. The guard is the check of the mark and of the inbox in routePublish.
  it('never stores a delivery of the server', () => {
    for (const kind of ['own', 'member', 'group', 'retained'] as const) {
      expect(to(publish({ topic: 't/1' }, marked('t/1', { mailbox: clientKey('c'), kind })))).toEqual([]);
    }
    expect(to(publish({ topic: '$offline/c/t/1' }, marked('$offline/c/t/1')), { filter: '$offline/#' })).toEqual([]);
    expect(to(publish({ topic: '$offline/c/t/1' }), { filter: '$offline/#' })).toEqual([]);
  });

  // Promise 24. The guard is the topic in the signature: a bridge that republished what it got lost all that it forwarded.
  it("stores a message that a client forwards with the server's mark as a new one", () => {
    const forwarded = publish({ topic: 't/elsewhere', id: 'F' }, marked('t/1'));
    expect(to(forwarded)).toMatchObject([{ write: { kind: 'publish', message: { id: 'F', topic: 't/elsewhere' } } }]);
    expect(to(publish({ topic: 't/1', id: 'F' }, marked('$offline/c/t/1')))).toMatchObject([
      { write: { kind: 'publish', message: { id: 'F' } } },
    ]);
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
  ])('stores the subscription to %s: %p', (filter, kept) => {
    const policies = [{ filter: 't/off/#', mode: 'off' as const }, { filter: 't/#' }];
    const { clientid, qos, at } = subscribed(filter) as SubscribedEvent;
    const own = clientKey('c');
    const change = { mail: { to: own, kind: 'change', change: { kind: 'subscribed', clientid, filter, qos, at } } };
    expect(to(subscribed(filter), ...policies)).toEqual(
      kept ? [change, { mail: { to: own, kind: 'deliver', request: { clientid, filter, qos, at } } }] : [],
    );
    const left = { mail: { to: own, kind: 'change', change: { kind: 'unsubscribed', clientid, filter, at } } };
    expect(to({ type: 'unsubscribed', clientid, filter, at }, ...policies)).toEqual([left]);
  });

  it('ignores the inbox subscriptions that the server makes (promise 8)', () => {
    for (const filter of ['$offline/c/#', '$share/g/$offline/c/#']) {
      expect(to(subscribed(filter), {}, { filter: '$offline/#' })).toEqual([]);
      expect(to({ type: 'unsubscribed', clientid: 'c', filter, at: 1 })).toEqual([]);
    }
  });

  it.each([[true], [false]])("sends a connection event to the client's mailbox (session only: %p)", (sessionOnly) => {
    const news = { clientid: 'c', node: 'n1', at: 5, cleanStart: true, expiryMs: 7, sessionOnly };
    expect(to({ type: 'connected', ...news })).toEqual([
      { mail: { to: clientKey('c'), kind: 'change', change: { kind: 'connected', ...news } } },
    ]);
    const end = { clientid: 'c', node: 'n1', at: 9, connectedAt: 5 };
    expect(to({ type: 'disconnected', ...end })).toEqual([
      { mail: { to: clientKey('c'), kind: 'change', change: { kind: 'disconnected', ...end } } },
    ]);
  });

  it.each(['t/1', 't/+', '#', '$share/g/t/#'])('requests a delivery for a subscription to %s (promise 15)', (filter) => {
    expect(to(subscribed(filter))).toContainEqual({
      mail: { to: clientKey('c'), kind: 'deliver', request: { clientid: 'c', filter, qos: 1, at: 1 } },
    });
  });

  it('requests deliveries of a shared subscription from the client and from the group', () => {
    const requests = to(subscribed('$share/g/#'), { filter: 'p/#', mode: 'pubsub' }, {}).filter(
      (item) => 'mail' in item && item.mail.kind === 'deliver',
    );
    expect(requests).toMatchObject([
      { mail: { to: clientKey('c') } },
      { mail: { to: mailboxKey('$share/g'), request: { clientid: 'c', consumer: '$share/g' } } },
    ]);
  });
});

// Durable sessions: EMQX gives an empty id, in some versions an empty topic.
describe('an event without an id of EMQX', () => {
  it('removes the stored message as an acknowledgement with a valid mark', () => {
    for (const topic of ['t/1', '$offline/c/t/1'])
      expect(to(acked({ id: null, topic, mark: marked(topic) }))[0]).toEqual({
        write: { kind: 'ack', id: 'M', topic: 't/1', clientid: 'c' },
      });
    expect(to(acked({ id: null, mark: marked() }), { mode: 'pubsub' })).toMatchObject([{ mail: { kind: 'acked', id: 'M', ours: true } }]);
  });

  it('is ignored as an acknowledgement without a valid mark', () => {
    for (const mark of [null, marked('t/2'), { ...marked(), signature: 'x' }]) {
      for (const mode of ['queue', 'pubsub'] as const) expect(to(acked({ id: null, mark }), { mode })).toEqual([]);
    }
    // An empty topic is a key that some stores can't hold.
    expect(to(acked({ topic: '', mark: marked() }))).toEqual([]);
  });

  it('is assigned to its message by the mark when a copy is dropped', () => {
    const dropped = (fields: Partial<DeliveryDroppedEvent>): DeliveryDroppedEvent => ({
      ...acked({ id: null }),
      type: 'delivery-dropped',
      qos: 1,
      reason: 'queue_full',
      ...fields,
    });
    expect(to(dropped({ mark: marked() }))).toMatchObject([{ mail: { kind: 'dropped', id: 'M', copyId: null } }]);
    expect(to(dropped({}))).toEqual([]);
  });
});

// EMQX's topic rewrite changes what the server publishes, too: the mark says a/c/d, the acknowledgement a/d.
it('an acknowledgement under a rewritten topic removes no stored message', () => {
  expect(to(acked({ topic: 'a/d', id: 'COPY', mark: marked('a/c/d') }))).toEqual([
    { write: { kind: 'ack', id: 'COPY', topic: 'a/d', clientid: 'c' } },
  ]);
});

describe('an acknowledgement', () => {
  const write = (id: string) => ({ write: { kind: 'ack', id, topic: 't/1', clientid: 'c' } });
  const mail = (fields: object) => ({ mail: { kind: 'acked', clientid: 'c', topic: 't/1', to: clientKey('c'), ...fields } });

  // Promise 18. The guard is Signer.verified: with the id taken as it comes the forged marks are believed.
  it.each([
    ['missing', ''],
    ['wrong', `${'x'.repeat(43)}o${clientKey('c')}`],
    ['of another id', signer.sign('OTHER', 't/1', { mailbox: clientKey('c'), kind: 'own' })],
    ['of another key', new Signer('other key').sign('M', 't/1', { mailbox: clientKey('c'), kind: 'own' })],
    ['of another topic', marked('t/2').signature],
    ['of the inbox', marked('$offline/c/t/1').signature],
  ])("with a mark whose signature is %s counts for EMQX's message only", (_, signature) => {
    const mark = { id: 'M', signature };
    expect(to(publish({ topic: 't/1' }, mark))).toMatchObject([{ write: { kind: 'publish' } }]);
    expect(to(acked({ mark }))).toEqual([write('LIVE')]);
    expect(to(acked({ mark }), { mode: 'pubsub' })).toEqual([mail({ id: 'LIVE', ours: false, isRead: true })]);
  });

  it('of a delivery removes the stored message and frees its place in the mailbox', () => {
    const both = [write('M'), mail({ id: 'M', ours: true })];
    expect(to(acked({ mark: marked() }))).toEqual(both);
    expect(to(acked({ mark: marked('$offline/c/t/1'), topic: '$offline/c/t/1' }))).toEqual(both);
    expect(to(acked({ mark: marked() }), { mode: 'pubsub' })).toEqual([mail({ id: 'M', ours: true, isRead: true })]);
  });

  it("of EMQX's own delivery counts for that message and frees no place", () => {
    expect(to(acked())).toEqual([write('LIVE')]);
    expect(to(acked({ topic: '$offline/c/t/1' }))).toEqual([]);
    expect(to(acked(), { mode: 'pubsub' })).toEqual([mail({ id: 'LIVE', ours: false, isRead: true })]);
  });

  // Promise 24. The guard is the topic in the signature: what a client forwarded removed the stored message that it had got.
  it("of a message forwarded with the server's mark removes no stored message", () => {
    const forwarded = acked({ topic: 't/elsewhere', id: 'F', mark: marked('t/1') });
    expect(to(forwarded)).toEqual([{ write: { kind: 'ack', id: 'F', topic: 't/elsewhere', clientid: 'c' } }]);
    // Nor does it count where it names the client's own inbox.
    expect(to(acked({ topic: '$offline/c/t/1', mark: marked('t/1') }))).toEqual([]);
  });

  // Promise 20. The guard is addressee: all who subscribe to the topic get the copy, and each acknowledgement freed a place in their own window.
  it('of a copy for another client frees no place, but removes the message in queue mode', () => {
    const mark = marked('t/1', { mailbox: clientKey('other'), kind: 'own' });
    expect(to(acked({ mark }))).toEqual([write('M')]);
    expect(to(acked({ mark }), { mode: 'pubsub' })).toEqual([mail({ id: 'M', ours: false, isRead: true })]);
  });

  it("of a shared subscription's copy frees the place of its addressee in queue mode", () => {
    const mark = marked('t/1', { mailbox: clientKey('sent-for'), kind: 'member' });
    expect(to(acked({ mark }))).toEqual([write('M'), mail({ id: 'M', to: clientKey('sent-for'), ours: true })]);
  });

  it("of a group's copy goes to the member's mailbox in pubsub mode", () => {
    const mark = marked('t/1', { mailbox: mailboxKey('$share/g'), kind: 'group' });
    expect(to(acked({ mark }), { mode: 'pubsub' })).toEqual([mail({ id: 'M', ours: true, isRead: true, isOfGroup: true })]);
  });

  it('of a restored retained message frees no place', () => {
    expect(to(acked({ mark: marked('t/1', { mailbox: '', kind: 'retained' }) }))).toEqual([write('M')]);
  });
});

describe('a copy that EMQX dropped', () => {
  const dropped = (fields: Partial<DeliveryDroppedEvent> = {}): DeliveryDroppedEvent => ({
    ...{ type: 'delivery-dropped', id: 'REST', topic: 't/1', clientid: 'c', mark: marked(), at: 1, qos: 1, reason: 'queue_full' },
    ...fields,
  });
  const mail = (fields: object) => [
    { mail: { kind: 'dropped', clientid: 'c', topic: 't/1', id: 'M', copyId: 'REST', reason: 'queue_full', ...fields } },
  ];

  it('is reported to the mailbox that it was sent from', () => {
    expect(to(dropped())).toEqual(mail({ to: clientKey('c') }));
    expect(to(dropped({ topic: '$offline/c/t/1', mark: marked('$offline/c/t/1') }))).toEqual(mail({ to: clientKey('c') }));
    expect(to(dropped({ mark: marked('t/1', { mailbox: clientKey('other'), kind: 'member' }) }))).toEqual(mail({ to: clientKey('other') }));
  });

  it('of a group is reported to the mailbox of the client', () => {
    const group = mailboxKey('$share/g');
    expect(to(dropped({ mark: marked('t/1', { mailbox: group, kind: 'group' }) }), { mode: 'pubsub' })).toEqual(
      mail({ to: clientKey('c'), group }),
    );
  });

  it("is ignored without the server's mark or with one for another client or topic", () => {
    expect(to(dropped({ mark: null }))).toEqual([]);
    expect(to(dropped({ mark: marked('t/2') }))).toEqual([]);
    expect(to(dropped({ mark: marked('t/1', { mailbox: clientKey('other'), kind: 'own' }) }))).toEqual([]);
    expect(to(dropped(), { mode: 'off' })).toEqual([]);
  });
});
