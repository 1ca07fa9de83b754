import { GRACE_MS, ON_ITS_WAY_MS, STORM_MS } from '../../../src/mailbox/times';
import { emptyMailbox, START } from '../../../src/mailbox/box/mailbox';
import {
  Box,
  NOW,
  acked,
  connected,
  copy,
  disconnected,
  due,
  gated,
  mailbox,
  outOf,
  again,
  run,
  sent,
  session,
  subscribed,
  told,
  unsubscribed,
} from './build';

const fresh = () => new Box(emptyMailbox('c')).learn(connected(NOW - 50, true, 0), subscribed(), gated());
const resumed = () => new Box(emptyMailbox('c')).learn(connected(NOW - 50, false, 3_600_000), subscribed(), gated());

describe('a subscription', () => {
  it('of a new session is served at once, without asking EMQX', () => {
    expect(fresh().plan).toMatchObject({ asks: false, run: { filter: 't/a', cursor: START } });
  });

  it('waits for the writes that were accepted before it', () => {
    const box = new Box(emptyMailbox('c')).learn(connected(NOW - 50, true), subscribed());
    expect(box.plan).toMatchObject({ run: null, gates: [{ filter: 't/a' }], wakeAt: NOW });
    box.learn({ kind: 'gated', clientid: 'c', filter: 't/a', tails: { m0: 7 } });
    expect(box.plan).toMatchObject({ run: null, gates: [], wakeAt: NOW + 10 });
    box.pass(10).learn({ kind: 'gated', clientid: 'c', filter: 't/a', tails: { m0: 7 } });
    expect(box.plan.wakeAt).toBe(NOW + 10 + 20);
    expect(box.pass(20).learn(gated()).plan.run).not.toBeNull();
  });

  it('checks with growing pauses whether the writes are done, at last twice a second', () => {
    const box = new Box(emptyMailbox('c')).learn(connected(NOW - 50, true), subscribed());
    const pauses: number[] = [];
    for (let i = 0; i < 8; i++) {
      box.learn({ kind: 'gated', clientid: 'c', filter: 't/a', tails: { m0: 7 } });
      pauses.push((box.plan.wakeAt ?? 0) - box.now);
      box.pass(pauses.at(-1) as number);
    }
    expect(pauses).toEqual([10, 20, 40, 80, 160, 320, 500, 500]);
  });

  it("of a resumed session waits for EMQX's answer and a second for acknowledgements", () => {
    const box = resumed();
    expect(box.plan).toMatchObject({ asks: true, run: null });
    box.learn(told(['own']));
    expect(box.plan).toMatchObject({ asks: false, run: null, wakeAt: NOW + ON_ITS_WAY_MS });
    expect(box.pass(ON_ITS_WAY_MS - 1).plan.run).toBeNull();
    expect(box.pass(1).plan.run).toMatchObject({ filter: 't/a' });
    expect([...box.mailbox.held]).toEqual(['own']);
  });

  it('of an unknown client is checked in EMQX first', () => {
    expect(new Box(emptyMailbox('c')).learn(subscribed(), gated()).plan).toMatchObject({ asks: true, run: null });
  });

  it('of a session that EMQX reports as new and empty is served at once', () => {
    const box = new Box(emptyMailbox('c')).learn(subscribed(), gated(), told([], { createdAt: NOW - 5, connectedAt: NOW - 5 }));
    expect(box.plan).toMatchObject({ asks: false, run: { filter: 't/a' } });
  });

  it('ends when EMQX does not know the client', () => {
    const box = new Box(emptyMailbox('c')).learn(subscribed(), gated(), { kind: 'asked', session: null, held: null });
    expect(box.plan).toMatchObject({ asks: false, run: null, wakeAt: null });
  });

  it('that overlaps another one is checked in EMQX first', () => {
    const box = fresh().learn(sent([]), subscribed({ filter: 't/+', at: NOW + 5_000 }), gated('t/+'));
    expect(box.plan).toMatchObject({ asks: true, run: null });
    box.learn(told(['live'], { createdAt: NOW - 50, connectedAt: NOW - 50 }));
    expect(box.plan.run).toBeNull();
    expect(box.pass(ON_ITS_WAY_MS).plan.run).toMatchObject({ filter: 't/+' });
  });

  it('that is repeated later waits a second for acknowledgements', () => {
    const box = fresh().learn(sent([]), subscribed({ at: NOW + 5_000 }), gated(), told([], { createdAt: NOW - 50, connectedAt: NOW - 50 }));
    expect(box.plan).toMatchObject({ run: null, wakeAt: NOW + ON_ITS_WAY_MS });
    expect(box.pass(ON_ITS_WAY_MS).plan.run).not.toBeNull();
  });

  it('that follows an ended, overlapping one is checked in EMQX', () => {
    const session = { createdAt: NOW - 50, connectedAt: NOW - 50 };
    const facts = [subscribed({ filter: 't/+', at: NOW - 20 }), unsubscribed(NOW - 10, 't/+'), subscribed()];
    const asked = new Box(emptyMailbox('c')).learn(...facts, gated(), told([], session));
    expect(asked.plan).toMatchObject({ run: null, wakeAt: NOW + ON_ITS_WAY_MS });
    const informed = new Box(emptyMailbox('c')).learn(...facts, connected(NOW - 50, true), gated());
    expect(informed.mailbox.session?.filters).toEqual(['t/a', 't/+']);
    expect(informed.plan).toMatchObject({ asks: true, run: null });
  });

  it('that overlaps no other of the connection is not checked in EMQX', () => {
    expect(fresh().learn(sent([]), subscribed({ filter: 'u/+', at: NOW + 5_000 }), gated('u/+')).plan).toMatchObject({
      asks: false,
      run: { filter: 'u/+' },
    });
  });

  it('that overlaps one from before the connection event is checked in EMQX', () => {
    const box = new Box(emptyMailbox('c')).learn(subscribed(), connected(NOW - 50, true, 0), gated(), sent([]));
    box.learn({
      kind: 'asked',
      session: { connected: true, connectedAt: NOW - 50, createdAt: NOW - 50, persistent: false, durable: false, queued: 0, inflight: 0 },
      held: null,
    });
    expect(box.plan.asks).toBe(false);
    expect(box.learn(subscribed({ filter: 't/+', at: NOW + 5_000 }), gated('t/+')).plan).toMatchObject({ asks: true, run: null });
  });

  it('is checked in EMQX if the client has had it in the first connection of a session that was resumed at once', () => {
    const box = new Box(emptyMailbox('c')).learn(
      connected(NOW - 9, false, 60_000),
      subscribed({ at: NOW - 5 }),
      connected(NOW, false, 60_000),
    );
    // EMQX's answer can't tell the second connection from one that began the session.
    box.learn(told([], { createdAt: NOW - 9, connectedAt: NOW }), gated(), sent([]), gated(), due);
    expect(box.mailbox.session).toMatchObject({ isNew: true, filters: ['t/a'] });
    box.pass(GRACE_MS).learn(gated(), sent([]));
    expect([box.mailbox.runs, box.plan.asks]).toEqual([[], false]);
    expect(box.learn(subscribed({ at: NOW + GRACE_MS })).plan.asks).toBe(true);
  });

  it('is checked in EMQX when the client has 64 others', () => {
    const filters = Array.from({ length: 64 }, (_, i) => `f/${i}`);
    const box = new Box(mailbox({ session: session({ isNew: true, filters }) })).learn(subscribed({ filter: 'u' }), gated('u'));
    expect(box.plan.asks).toBe(true);
    expect(box.mailbox.session?.filters).toHaveLength(64);
  });

  it('reads its topics once more after ten seconds, and is then complete', () => {
    const box = fresh().learn(sent([]));
    expect(box.plan).toMatchObject({ run: null, wakeAt: NOW + GRACE_MS });
    box.pass(GRACE_MS).learn(gated());
    expect(box.plan.run).toMatchObject({ cursor: START, leavesRetained: false, looks: 1, at: NOW });
    expect(box.learn(sent([])).mailbox.runs).toEqual([]);
    expect(box.plan.wakeAt).toBeNull();
  });

  it('leaves a retained message to EMQX, except for a shared subscription', () => {
    expect(fresh().plan.run?.leavesRetained).toBe(true);
    const box = new Box(emptyMailbox('c')).learn(connected(NOW - 50, true), subscribed({ filter: '$share/g/t/a' }), gated('$share/g/t/a'));
    expect(box.plan.run?.leavesRetained).toBe(false);
  });

  it('that met messages reserved for other clients reads again until it meets none', () => {
    const box = new Box(mailbox({ runs: [run({ looks: 1 })] })).learn(sent([], { isBlocked: true }));
    expect(box.plan.wakeAt).toBe(NOW + GRACE_MS);
    box.pass(GRACE_MS).learn(gated());
    expect(box.plan.run).toMatchObject({ isBlocked: false, looks: 2 });
    expect(box.learn(sent([])).mailbox.runs).toEqual([]);
  });

  it('reads again with growing pauses while EMQX holds messages of its own', () => {
    const box = new Box(mailbox({ runs: [run({ looks: 1 })], held: new Set(['own']) }));
    const pauses: number[] = [];
    for (let i = 0; i < 7; i++) {
      box.learn(sent([]));
      pauses.push((box.plan.wakeAt ?? 0) - box.now);
      box.pass(pauses.at(-1) as number);
      expect(box.plan.asks).toBe(true);
      box.learn(told(['own']), gated()).pass(ON_ITS_WAY_MS);
      expect(box.plan.run).toMatchObject({ cursor: START });
    }
    expect(pauses).toEqual([30_000, 60_000, 120_000, 240_000, 480_000, 480_000, 480_000]);
    box.learn(acked('own', false), sent([]));
    expect(box.mailbox.runs).toEqual([]);
  });

  it('reads again while it is unknown whether EMQX has a sent message', () => {
    const unknown: [string, ReturnType<typeof copy>] = ['1', copy('1', { emqxId: null })];
    const box = new Box(mailbox({ runs: [run({ looks: 1 })] })).learn(sent([], { copies: [unknown] }));
    expect(box.mailbox.runs).toMatchObject([{ lookAt: NOW + 30_000 }]);
  });

  it('is not read again while its client is disconnected', () => {
    const box = fresh()
      .learn(sent([]))
      .learn(disconnected(NOW + 5_000, NOW - 50 + 60_000));
    expect(box.pass(60_000).plan).toMatchObject({ wakeAt: null, run: null });
  });

  it('is cancelled by a newer unsubscribe, in any order of events', () => {
    const box = fresh().learn(unsubscribed(NOW + 1));
    expect(box.mailbox.runs).toEqual([]);
    expect(box.learn(subscribed()).mailbox.runs).toEqual([]);
    expect(box.learn(subscribed({ at: NOW + 2 })).mailbox.runs).toHaveLength(1);
  });

  it('is not cancelled by an older unsubscribe', () => {
    expect(fresh().learn(unsubscribed(NOW - 1)).mailbox.runs).toHaveLength(1);
  });

  it('cancels its own pending resends when it ends, and no others', () => {
    const box = new Box(
      mailbox({ runs: [run(), run({ filter: 'u' })], again: [again('1'), again('2', { filter: 'u' })], out: outOf('3') }),
    );
    box.learn(unsubscribed(NOW + 1));
    expect(box.mailbox).toMatchObject({ again: [{ id: '2' }], runs: [{ filter: 'u' }] });
    expect(box.ids).toEqual(['3']);
  });

  it('replaces the pending resends of the topics that it reads', () => {
    const box = new Box(mailbox({ again: [again('1'), again('2', { topic: 'u', filter: 'u' })], retryAt: NOW + 1_000, rounds: 3 })).learn(
      subscribed({ filter: 't/#' }),
    );
    expect(box.mailbox).toMatchObject({ again: [{ id: '2' }], retryAt: NOW + 1_000, rounds: 0 });
    expect(box.learn(subscribed({ filter: 'u' })).mailbox).toMatchObject({ again: [], retryAt: null });
  });

  it('keeps the unsubscribes of the last 64 filters only', () => {
    const box = new Box(mailbox());
    for (let i = 0; i < 100; i++) box.learn(unsubscribed(NOW, `f/${i}`));
    expect(box.mailbox.left).toHaveLength(64);
    expect(box.mailbox.left.at(-1)?.filter).toBe('f/99');
  });
});

describe('the same subscription again within two seconds', () => {
  it('sends nothing a second time', () => {
    const box = fresh()
      .learn(sent(['1']))
      .learn(subscribed({ at: NOW + STORM_MS - 1 }));
    expect(box.plan.run).toBeNull();
    expect(box.mailbox.runs).toMatchObject([{ at: NOW, requestedAt: NOW + STORM_MS - 1, cursor: null }]);
  });

  it('starts a new delivery after two seconds', () => {
    const box = fresh()
      .learn(sent([]))
      .learn(subscribed({ at: NOW + STORM_MS }), gated());
    expect(box.mailbox.runs).toMatchObject([{ at: NOW + STORM_MS, cursor: START }]);
  });

  it('with another QoS reads from the start and continues its count', () => {
    const box = fresh()
      .learn(sent(['1']))
      .learn(subscribed({ at: NOW + 500, qos: 2 }));
    expect(box.mailbox.runs).toMatchObject([{ at: NOW, requestedAt: NOW + 500, cursor: START, qos: 2, sent: 1 }]);
  });

  it('is not changed by an older request that arrives late', () => {
    const box = fresh().learn(subscribed({ at: NOW - 60, qos: 0 }));
    expect(box.mailbox.runs).toMatchObject([{ at: NOW, requestedAt: NOW, qos: 1 }]);
    expect(box.learn(unsubscribed(NOW - 10)).mailbox.runs).toHaveLength(1);
  });

  it('uses the time of the first request, even when that arrives late', () => {
    const box = fresh().learn(subscribed({ at: NOW - 20 }));
    expect(box.mailbox.runs).toMatchObject([{ at: NOW - 20, requestedAt: NOW }]);
    expect(box.plan.asks).toBe(true);
  });

  it('is not changed by a late request of an earlier connection', () => {
    const box = fresh().learn(subscribed({ at: NOW - 51 }));
    expect(box.mailbox.runs).toMatchObject([{ at: NOW, requestedAt: NOW }]);
    expect(box.plan.asks).toBe(false);
  });

  it('is a new delivery in a new connection', () => {
    const box = fresh()
      .learn(sent(['1']))
      .learn(connected(NOW + 500, true, 0), subscribed({ at: NOW + 600 }));
    expect(box.mailbox.runs).toMatchObject([{ at: NOW + 600, cursor: START }]);
    expect(box.ids).toEqual([]);
  });

  it('is a new delivery in a new connection whose event arrives late', () => {
    const box = fresh()
      .learn(sent(['1']))
      .learn(subscribed({ at: NOW + 600 }), connected(NOW + 500, true, 0));
    expect(box.mailbox.runs).toMatchObject([{ at: NOW + 600, cursor: START, sent: 0 }]);
    expect([box.ids, box.freed]).toEqual([[], ['1']]);
  });

  it('is checked in EMQX when no connection events arrive', () => {
    const box = new Box(mailbox({ session: session({ isTold: false }), runs: [run({ cursor: null })], out: outOf('1') })).learn(
      subscribed({ at: NOW + 100 }),
    );
    expect(box.plan.asks).toBe(true);
    const told = new Box(mailbox({ runs: [run({ cursor: null })], out: outOf('1') })).learn(subscribed({ at: NOW + 100 }));
    expect(told.plan.asks).toBe(false);
  });

  it('is read from the start when EMQX reports a new connection', () => {
    const known = session({ isTold: false, isNew: true, connectedAt: NOW - 50 });
    const box = new Box(mailbox({ session: known, runs: [run({ cursor: null, sent: 7 })] })).learn(subscribed({ at: NOW + 900 }));
    expect(box.plan.asks).toBe(true);
    box.learn(told([], { createdAt: NOW + 800, connectedAt: NOW + 800 }));
    expect(box.mailbox.runs).toMatchObject([{ at: NOW + 900, cursor: START, sent: 0 }]);
  });

  it('is read from the start when EMQX reports a new connection that began after the last request but more than a second after the first', () => {
    const known = session({ isTold: false, isNew: true, connectedAt: NOW - 1 });
    const cursor = { topic: 't/a', id: '1' };
    const box = new Box(mailbox({ session: known, runs: [run({ cursor, sent: 1 })], out: outOf('1') }));
    box.now += 1_010;
    box.learn(subscribed({ at: NOW + 1_003 }), told([], { createdAt: NOW + 1_005, connectedAt: NOW + 1_005 }));
    // Otherwise the new session would be sent newer messages before the first one.
    expect([box.ids, box.mailbox.runs]).toMatchObject([[], [{ at: NOW + 1_003, cursor: START, sent: 0 }]]);
  });

  it('marks a client as connected that was taken for disconnected', () => {
    const box = new Box(mailbox({ session: session({ connected: false }), runs: [run()] })).learn(subscribed({ at: NOW + 100 }), due);
    expect(box.plan).toMatchObject({ asks: true });
    expect(box.mailbox.session).toMatchObject({ connected: true, isNew: null });
  });

  it('does not mark a client as connected when it is the same event', () => {
    const box = new Box(mailbox({ session: session({ connected: false }), runs: [run()] })).learn(subscribed());
    expect(box.mailbox.session?.connected).toBe(false);
  });
});
