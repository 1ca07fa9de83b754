import { GRACE_MS, ON_ITS_WAY_MS } from '../../../src/mailbox/times';
import { decode, encode } from '../../../src/mailbox/box/encode';
import { UNTOLD } from '../../../src/mailbox/box/mailbox';
import {
  Box,
  NOW,
  acked,
  again,
  connected,
  copy,
  disconnected,
  dropped,
  due,
  gated,
  mailbox,
  outOf,
  resent,
  run,
  sent,
  session,
  subscribed,
  told,
  unsubscribed,
  view,
} from './build';

const done = { cursor: null } as const;

describe('a copy of a message that the client got in another way, too', () => {
  it('keeps its place until EMQX has it no longer, and is not sent again then', () => {
    const box = new Box(mailbox({ out: outOf('1', '2') })).learn(acked('1', false));
    expect(box.ids).toEqual(['1', '2']);
    expect(decode(encode(box.mailbox))).toEqual(box.mailbox);
    box.mailbox = { ...box.mailbox, askAt: box.now };
    box.learn(told([])).pass(ON_ITS_WAY_MS);
    expect([box.ids, box.mailbox.again.map(({ id }) => id)]).toEqual([[], ['2']]);
  });
});

describe('a copy that is acknowledged', () => {
  it('frees its place; the next messages are read when half of the window is free', () => {
    const ids = ['1', '2', '3', '4'];
    const box = new Box(mailbox({ runs: [run({ window: 4, cursor: { topic: 't/a', id: '4' } })], out: outOf(...ids) }));
    expect(box.learn(acked('1')).plan.run).toBeNull();
    expect(box.learn(acked('2')).plan.run).toMatchObject({ cursor: { topic: 't/a', id: '4' } });
  });

  it('counts once, however often its acknowledgement is reported', () => {
    const box = new Box(mailbox({ out: outOf('1', '2'), again: [again('0')] })).learn(acked('1'), acked('1'));
    expect(box.mailbox).toMatchObject({ budget: 2 });
    expect(box.ids).toEqual(['2']);
  });

  it('is not sent again after an earlier copy was lost', () => {
    const box = new Box(mailbox({ again: [again('1'), again('2')] })).learn(acked('1', false));
    expect(box.mailbox.again.map(({ id }) => id)).toEqual(['2']);
    expect(box.learn(acked('2')).mailbox).toMatchObject({ again: [], budget: 0, retryAt: null });
  });

  it("in EMQX's own delivery does not free the server's copy", () => {
    expect(new Box(mailbox({ out: outOf('1') })).learn(acked('1', false)).ids).toEqual(['1']);
  });
});

describe('the window', () => {
  it('includes the messages that EMQX holds of its own', () => {
    const box = new Box(
      mailbox({ runs: [run({ window: 4, cursor: { topic: 't/a', id: '4' } })], out: outOf('1'), held: new Set(['x', 'y']) }),
    );
    expect(box.plan.run).toBeNull();
    expect(box.learn(acked('x', false)).plan.run).not.toBeNull();
  });

  it("full of EMQX's own messages is checked in EMQX with growing pauses", () => {
    const own = ['x', 'y', 'z'];
    const box = new Box(mailbox({ runs: [run({ window: 4, cursor: { topic: 't/a', id: '4' } })], held: new Set(own) }));
    const pauses: number[] = [];
    for (let i = 0; i < 4; i++) {
      pauses.push((box.plan.wakeAt ?? Infinity) - box.now);
      box.pass(pauses.at(-1) as number);
      expect(box.plan.asks).toBe(true);
      box.learn(told(own));
    }
    expect(pauses).toEqual([10_000, 20_000, 40_000, 80_000]);
    box.pass(160_000).learn(told([])).pass(ON_ITS_WAY_MS);
    expect(box.plan.run).not.toBeNull();
  });

  it("with more than 50 of EMQX's own messages is checked again with growing pauses", () => {
    const own = Array.from({ length: 51 }, (_, i) => `own${i}`);
    const box = new Box(mailbox({ runs: [run({ cursor: { topic: 't/a', id: '4' } })], askAt: NOW }));
    const pauses: number[] = [];
    for (let i = 0; i < 12; i++) {
      expect(box.plan.asks).toBe(true);
      box.learn(told(own));
      pauses.push((box.plan.wakeAt ?? Infinity) - box.now);
      box.pass(pauses.at(-1) as number);
    }
    expect(pauses).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024].map((s) => s * 1_000));
    expect(box.learn(told(own.slice(1))).mailbox.askAt).toBeNull();
  });

  it('without room for a resend waits for an acknowledgement', () => {
    const box = new Box(mailbox({ again: [again('1')], budget: 1, out: outOf('2') })).learn(resent([]));
    expect(box.plan).toMatchObject({ again: 0 });
    expect(box.learn(acked('2')).plan.again).toBe(1);
  });

  it("without room because of EMQX's own messages is checked less and less often", () => {
    const box = new Box(mailbox({ again: [again('1')], budget: 1, held: new Set(['x']), rounds: 1 })).learn(resent([]));
    expect(box.plan).toMatchObject({ again: 0, wakeAt: NOW + 10_000 });
    box.pass(10_000);
    expect(box.plan.asks).toBe(true);
    box.learn(told(['x']));
    expect(box.plan.again).toBe(1);
    expect(box.learn(resent([])).plan).toMatchObject({ again: 0, wakeAt: box.now + 20_000 });
    expect(box.learn(acked('x', false)).plan.again).toBe(1);
  });
});

describe('a copy that EMQX drops', () => {
  it('is sent again before newer ones, two for each acknowledgement', () => {
    const box = new Box(mailbox({ runs: [run({ window: 10, cursor: { topic: 't/a', id: '9' } })], out: outOf('1', '2', '3', '4', '5') }));
    box.learn(dropped('1'), dropped('2'), dropped('3'));
    expect(box.freed).toEqual(['1', '2', '3']);
    expect(box.plan).toMatchObject({ again: 0, run: null });
    expect(box.learn(acked('4')).plan).toMatchObject({ again: 2, run: null });
    box.learn(resent(['1', '2']));
    expect(box.plan).toMatchObject({ again: 0, run: null });
    expect(box.learn(acked('5')).plan.again).toBe(1);
    expect(box.learn(resent(['3'])).plan.run).not.toBeNull();
  });

  it('is sent again in the order of publishing', () => {
    const box = new Box(mailbox({ out: outOf('1', '2', '3') })).learn(dropped('3'), dropped('1'));
    expect(box.mailbox.again.map(({ id }) => id)).toEqual(['1', '3']);
  });

  it('counts once, and only when it was sent', () => {
    const box = new Box(mailbox({ out: outOf('1', '2') })).learn(dropped('1'), dropped('1'), dropped('7'));
    expect(box.mailbox.again).toHaveLength(1);
    expect(box.freed).toEqual(['1']);
  });

  it('is not sent again when the drop event concerns an older copy', () => {
    const box = new Box(mailbox({ out: new Map([['1', copy('1', { emqxId: 'new' })]]) }));
    expect(box.learn({ kind: 'dropped', id: '1', reason: 'queue_full', copyId: 'old' }).ids).toEqual(['1']);
    expect(box.learn({ kind: 'dropped', id: '1', reason: 'queue_full', copyId: 'new' }).ids).toEqual([]);
    const unknown = new Box(mailbox({ out: new Map([['1', copy('1', { emqxId: null })]]) }));
    expect(unknown.learn({ kind: 'dropped', id: '1', reason: 'queue_full', copyId: 'any' }).ids).toEqual([]);
    expect(new Box(mailbox({ out: outOf('1') })).learn({ kind: 'dropped', id: '1', reason: 'queue_full', copyId: null }).ids).toEqual([]);
  });

  it('may be any copy whose id EMQX did not report (EMQX 4)', () => {
    const box = new Box(mailbox({ out: new Map([['1', copy('1', { emqxId: UNTOLD })]]) }));
    expect(box.learn({ kind: 'dropped', id: '1', reason: 'queue_full', copyId: 'any' }).ids).toEqual([]);
  });

  it.each(['expired', 'too_large', 'no_local'])('for a permanent reason (%s) is not sent again', (reason) => {
    expect(new Box(mailbox({ out: outOf('1') })).learn(dropped('1', reason)).mailbox).toMatchObject({ again: [], retryAt: null });
  });

  it('is not sent again at QoS 0', () => {
    expect(new Box(mailbox({ out: new Map([['1', copy('1', { qos: 0 })]]) })).learn(dropped('1')).mailbox.again).toEqual([]);
  });

  it('is sent again only for a filter that its client still has', () => {
    const left = [{ clientid: 'c', filter: 't/a', at: NOW }];
    expect(new Box(mailbox({ out: outOf('1'), left })).learn(dropped('1')).mailbox.again).toEqual([]);
    const other = new Box(mailbox({ out: outOf('1'), left, session: session({ filters: ['t/a', 't/+'] }) })).learn(dropped('1'));
    expect(other.mailbox.again).toMatchObject([{ id: '1', filter: 't/+' }]);
    expect(other.learn(unsubscribed(NOW, 't/+')).mailbox).toMatchObject({ again: [], retryAt: null, budget: 0 });
  });

  it('is not sent again after its client has unsubscribed', () => {
    const box = new Box(mailbox({ out: outOf('1') })).learn(dropped('1'), unsubscribed());
    expect(box.mailbox).toMatchObject({ again: [], retryAt: null });
    expect(box.plan.wakeAt).toBeNull();
  });

  it('is retried after 10, 20, 40, 80 and 160 s when no other copy was sent', () => {
    const box = new Box(mailbox({ runs: [run(done)], out: outOf('1', '2') })).learn(dropped('1'), dropped('2'));
    const pauses: number[] = [];
    while (box.plan.wakeAt !== null) {
      pauses.push(box.plan.wakeAt - box.now);
      box.pass(pauses.at(-1) as number);
      expect(box.plan.again).toBe(1);
      box.learn(resent(['1'], { at: box.now }), dropped('1'));
    }
    expect(pauses).toEqual([10_000, 20_000, 40_000, 80_000, 160_000]);
    expect(box.mailbox).toMatchObject({ again: [], runs: [], budget: 0, rounds: 0 });
  });

  it('is retried with short pauses again once the client has acknowledged another', () => {
    const box = new Box(mailbox({ again: [again('1'), again('2')], rounds: 4, out: outOf('0') })).learn(acked('0'));
    expect(box.mailbox).toMatchObject({ rounds: 0, retryAt: null });
    expect(box.plan.again).toBe(2);
  });

  it('is forgotten when it is no longer needed', () => {
    const box = new Box(mailbox({ again: [again('1'), again('2')], budget: 2 })).learn(resent(['2'], { done: ['1'] }));
    expect(box.mailbox).toMatchObject({ again: [], budget: 0 });
    expect(box.ids).toEqual(['2']);
  });

  it('waits ten seconds when a process that died may have resent it', () => {
    const box = new Box(mailbox({ again: [again('1')], budget: 1 })).learn(resent([], { stopped: true }));
    expect(box.plan).toMatchObject({ again: 0, wakeAt: NOW + GRACE_MS });
    expect(box.pass(GRACE_MS).plan.again).toBe(1);
  });

  it('leaves no retry pending once nothing is to be sent again', () => {
    const box = new Box(mailbox({ out: outOf('1'), again: [], retryAt: NOW + 5 })).pass(10);
    expect(box.mailbox).toMatchObject({ budget: 0, retryAt: null });
  });
});

describe('a client that acknowledges nothing', () => {
  const pausesOf = (box: Box, count: number): number[] =>
    Array.from({ length: count }, () => {
      const pause = (box.plan.wakeAt ?? Infinity) - box.now;
      box.pass(pause);
      expect(box.plan.asks).toBe(true);
      box.learn(told(box.ids.map((id) => `copy-${id}`)));
      return pause / 1_000;
    });

  it('is checked in EMQX after 30 s, and then with pauses that double up to hours', () => {
    expect(pausesOf(new Box(mailbox({ out: outOf('1') })), 12)).toEqual([
      30, 60, 120, 240, 480, 960, 1920, 3840, 7680, 15_360, 30_720, 30_720,
    ]);
  });

  it('is checked in EMQX after 10 s when a delivery waits for it', () => {
    expect(pausesOf(new Box(mailbox({ out: outOf('1'), runs: [run({ window: 1, cursor: { topic: 't/a', id: '1' } })] })), 3)).toEqual([
      10, 20, 40,
    ]);
  });

  it('is checked in EMQX after 30 s again once it has acknowledged a message', () => {
    const box = new Box(mailbox({ out: outOf('1', '2') }));
    pausesOf(box, 4);
    expect(pausesOf(box.learn(acked('1')), 1)).toEqual([30]);
  });

  it('is not checked in EMQX while it is disconnected or has no copies', () => {
    expect(new Box(mailbox({ out: outOf('1') })).learn(disconnected()).plan.wakeAt).toBeNull();
    expect(new Box(mailbox()).pass(1_000_000).plan).toMatchObject({ wakeAt: null, asks: false });
  });
});

describe('a copy that EMQX no longer has', () => {
  const asked = () => new Box(mailbox({ out: outOf('1', '2'), askAt: NOW })).learn(told(['copy-2']));

  it('is sent again a second later', () => {
    const box = asked();
    expect(box.plan).toMatchObject({ again: 0, wakeAt: NOW + ON_ITS_WAY_MS });
    expect(box.pass(ON_ITS_WAY_MS).plan.again).toBe(1);
    expect([box.mailbox.again, box.freed]).toMatchObject([[{ id: '1' }], ['1']]);
  });

  it('is not sent again when its acknowledgement arrives meanwhile', () => {
    const box = asked().learn(acked('1')).pass(ON_ITS_WAY_MS);
    expect(box.mailbox.again).toEqual([]);
    expect(box.ids).toEqual(['2']);
  });

  it("is assumed to be in EMQX when EMQX's list is incomplete", () => {
    const { kind, session: view } = told([]) as Extract<ReturnType<typeof told>, { kind: 'asked' }>;
    const box = new Box(mailbox({ out: outOf('1') })).learn({ kind, session: view, held: { kind: 'list', messages: [], complete: false } });
    expect(box.pass(ON_ITS_WAY_MS).ids).toEqual(['1']);
  });

  it('is read again by a delivery at its start, and counts once for it', () => {
    const box = new Box(mailbox({ out: outOf('1', '2'), runs: [run({ sent: 5 })] })).learn(told([])).pass(ON_ITS_WAY_MS);
    expect(box.mailbox).toMatchObject({ again: [], runs: [{ sent: 3, behind: 'note' }] });
    expect(box.freed).toEqual(['1', '2']);
  });

  it('is read again by a delivery of a new session, if it was sent for another filter of the last one', () => {
    const known = session({ isNew: true, connectedAt: NOW - 5, filters: ['t/a'] });
    const lost = (own: typeof known) =>
      new Box(mailbox({ session: own, out: new Map([['5', copy('5', { filter: 't/+' })]]), runs: [run()] }))
        .learn(told([], { createdAt: NOW - 5, connectedAt: NOW - 5 }))
        .pass(ON_ITS_WAY_MS);
    // Sent at once, message 5 would overtake message 4, which the delivery reads.
    expect([lost(known).mailbox.again, lost(known).freed]).toEqual([[], ['5']]);
    expect(lost({ ...known, filters: ['t/a', 't/+'] }).mailbox.again).toMatchObject([{ id: '5' }]);
  });

  it('is read again by a delivery of a new session that was resumed before the server knew of it', () => {
    const lastAt = NOW - 60_000;
    const last = mailbox({
      session: session({ expiryMs: 0, filters: ['t/+'] }),
      runs: [run({ filter: 't/+', at: lastAt, requestedAt: lastAt })],
    });
    const box = new Box({ ...last, out: new Map([['5', copy('5', { filter: 't/+', sentAt: NOW })]]) }, NOW + 300);
    // The message was sent a moment after the new session had begun. A subscription to another filter is its first.
    box.learn(disconnected(NOW - 1, NOW - 60_000), connected(NOW - 1, false, 60_000), subscribed({ at: NOW + 1 }));
    box.learn(disconnected(NOW + 100, NOW - 1), connected(NOW + 101, false, 60_000));
    box.learn(told([], { createdAt: NOW - 1, connectedAt: NOW + 101 })).pass(ON_ITS_WAY_MS + 300);
    expect(box.mailbox.session).toMatchObject({ isNew: false });
    // Sent at once, message 5 would overtake message 4, which the delivery reads.
    expect([box.ids, box.mailbox.again, box.freed]).toEqual([[], [], ['5']]);
    expect(box.mailbox.runs).toMatchObject([{ filter: 't/a', behind: 'note' }]);
  });

  it('is left to that delivery also if EMQX tells that it dropped the copy', () => {
    const of = (isOfLast: boolean) =>
      new Box(
        mailbox({
          session: session({ isNew: false, filters: [] }),
          out: new Map([['5', copy('5', { filter: 't/+', ...(isOfLast && { isOfLast }) })]]),
          runs: [run()],
        }),
      ).learn(dropped('5'));
    expect([of(true).mailbox.again, of(true).freed, of(true).ids]).toEqual([[], ['5'], []]);
    expect(of(false).mailbox.again).toMatchObject([{ id: '5' }]);
  });

  it('is sent again at once if its subscription belongs to the session that goes on', () => {
    const box = new Box(
      mailbox({ session: session({ isNew: false, filters: [] }), out: new Map([['5', copy('5', { filter: 't/+' })]]), runs: [run()] }),
    );
    box.learn(told([])).pass(ON_ITS_WAY_MS);
    expect(box.mailbox.again).toMatchObject([{ id: '5', filter: 't/+' }]);
  });

  it("with an unknown id is found by its topic and sender in EMQX's list", () => {
    const lost = () => new Box(mailbox({ out: new Map([['1', copy('1', { emqxId: null })]]) }));
    const unknown = { id: 'x', topic: 't/a', from: 'http_api' };
    expect(
      lost()
        .learn(told([unknown]))
        .pass(ON_ITS_WAY_MS).ids,
    ).toEqual(['1']);
    expect(
      lost()
        .learn(told([{ ...unknown, topic: '$offline/c/t/a' }]))
        .pass(ON_ITS_WAY_MS).ids,
    ).toEqual(['1']);
    expect(
      lost()
        .learn(told([{ ...unknown, topic: 'u' }]))
        .pass(ON_ITS_WAY_MS).ids,
    ).toEqual([]);
    expect(
      lost()
        .learn(told([{ ...unknown, from: 'c2' }]))
        .pass(ON_ITS_WAY_MS).ids,
    ).toEqual([]);
  });

  it('of a shared subscription is assumed to be with another member for a minute', () => {
    const shared = (sentAt: number) =>
      new Box(mailbox({ out: new Map([['1', copy('1', { filter: '$share/g/t/a', sentAt })]]) })).learn(told([])).pass(ON_ITS_WAY_MS).ids;
    expect(shared(NOW - 59_999)).toEqual(['1']);
    expect(shared(NOW - 60_000)).toEqual([]);
  });
});

describe('a connection', () => {
  it('that begins a clean session discards all copies and pending resends', () => {
    const box = new Box(
      mailbox({
        out: outOf('1'),
        again: [again('2')],
        held: new Set(['x']),
        runs: [run({ at: NOW - 1, requestedAt: NOW - 1 })],
        budget: 1,
      }),
      NOW,
    );
    box.learn(connected(NOW + 1, true));
    expect(box.mailbox).toMatchObject({ again: [], runs: [], budget: 0, session: { isNew: true, filters: [] } });
    expect([box.ids, box.freed, box.mailbox.held.size]).toEqual([[], ['1'], 0]);
  });

  it('that begins a clean session keeps copies that another group member may have', () => {
    const box = new Box(mailbox({ out: new Map([['1', copy('1', { filter: '$share/g/t/a' })]]) })).learn(connected(NOW + 1, true));
    expect([box.ids, box.freed]).toEqual([[], []]);
  });

  it('that resumes a session keeps its copies, and EMQX is asked', () => {
    const box = new Box(mailbox({ out: outOf('1') })).learn(connected(NOW + 1, false, 60_000));
    expect(box.ids).toEqual(['1']);
    expect(box.plan.asks).toBe(true);
    expect(new Box(mailbox()).learn(connected(NOW + 1, false)).plan.asks).toBe(false);
  });

  it('that is older, or known already, changes nothing', () => {
    const box = new Box(mailbox({ out: outOf('1') }));
    const before = box.mailbox;
    expect(box.learn(connected(NOW - 60_001, true)).mailbox).toBe(before);
    expect(box.learn(connected(NOW - 60_000, true)).ids).toEqual(['1']);
  });

  it("known from EMQX's answer is completed by its event", () => {
    const box = new Box(mailbox({ session: session({ isNew: null, isTold: false, expiryMs: null }) })).learn(
      connected(NOW - 60_000, true, 5),
    );
    expect(box.mailbox.session).toMatchObject({ isNew: true, isTold: true, expiryMs: 5 });
  });

  it('is not ended by the late disconnect event of an earlier one', () => {
    const box = new Box(mailbox({ runs: [run()] })).learn(disconnected(NOW + 5, NOW - 70_000));
    expect(box.mailbox.session?.connected).toBe(true);
  });

  it('whose disconnect event is older than a subscription is checked in EMQX', () => {
    const box = new Box(mailbox({ runs: [run({ at: NOW + 10, requestedAt: NOW + 10 })] })).learn(disconnected(NOW + 5));
    expect(box.mailbox.session).toMatchObject({ connected: true, isNew: null });
    expect(box.plan.asks).toBe(true);
  });

  it('that ends discards its copies only if its session ends, too', () => {
    const of = (expiryMs: number | null) =>
      new Box(mailbox({ session: session({ expiryMs }), out: outOf('1'), runs: [run()] })).learn(disconnected(NOW + 5, NOW - 60_000));
    expect([of(0).ids, of(0).freed, of(0).mailbox.runs]).toEqual([[], ['1'], []]);
    expect([of(null).ids, of(60_000).ids, of(60_000).mailbox.runs.length]).toEqual([['1'], ['1'], 1]);
  });

  it('with an unknown beginning does not use the expiry of an older one', () => {
    const box = new Box(mailbox({ session: session({ expiryMs: 0 }), out: outOf('1') })).learn(disconnected(NOW + 5, NOW - 10));
    expect(box.ids).toEqual(['1']);
    expect(box.mailbox.session).toMatchObject({ connected: false, connectedAt: NOW - 10, expiryMs: null });
  });

  it('that EMQX reports as ended keeps its copies until the next one', () => {
    const box = new Box(mailbox({ out: outOf('1'), runs: [run()], askAt: NOW })).learn({
      ...told([], { connected: false, connectedAt: NOW - 60_000 }),
      held: null,
    } as never);
    expect(box.plan).toMatchObject({ asks: false, run: null, wakeAt: null });
    expect(box.learn(subscribed({ at: NOW + 5_000 })).plan.asks).toBe(true);
  });

  it('of a newer session than known discards older copies', () => {
    const box = new Box(
      mailbox({
        out: new Map([
          ['1', copy('1', { sentAt: NOW - 30_000 })],
          ['2', copy('2')],
        ]),
        runs: [run({ cursor: null })],
      }),
    );
    box.learn(told(['copy-2'], { createdAt: NOW - 10_000, connectedAt: NOW - 5_000 }));
    expect([box.ids, box.freed]).toEqual([['2'], ['1']]);
    expect(box.mailbox.runs).toHaveLength(1);
  });

  it("that is older in EMQX's answer than known is asked for three more times", () => {
    const old = { connected: false, connectedAt: NOW - 70_000, createdAt: NOW - 70_000, persistent: false };
    const box = new Box(mailbox({ out: outOf('1'), runs: [run({ cursor: { topic: 't/a', id: '1' } })], askAt: NOW }));
    for (const pause of [1_000, 2_000, 4_000]) {
      expect(box.learn({ kind: 'asked', session: view(old), held: null }).mailbox.session).toMatchObject({
        connected: true,
        expiryMs: 3_600_000,
      });
      expect(box.plan).toMatchObject({ run: null, wakeAt: box.now + pause });
      expect(box.pass(pause).plan.asks).toBe(true);
    }
    expect(box.learn({ kind: 'asked', session: view(old), held: null }).mailbox.session?.connected).toBe(false);
    expect(box.ids).toEqual(['1']);
  });

  it.each([
    ['does not know it yet', null],
    ['shows the connection before it', view({ connected: false, connectedAt: NOW - 700, createdAt: NOW - 60_000 })],
  ])('that an event has told of is asked for again when EMQX %s', (_, session) => {
    const box = new Box(mailbox({ session: null })).learn(connected(NOW, false, 3_600_000), subscribed(), gated());
    box.now += 20;
    box.learn({ kind: 'asked', session, held: null });
    expect(box.mailbox).toMatchObject({ session: { connected: true }, runs: [{ filter: 't/a' }] });
    expect(box.plan).toMatchObject({ asks: false, wakeAt: NOW + 1_020 });
    expect(box.pass(1_000).plan.asks).toBe(true);
    box.learn(told([])).pass(2 * ON_ITS_WAY_MS + 20);
    expect(box.plan.run).not.toBeNull();
  });

  it('that EMQX does not know ends all deliveries', () => {
    const box = new Box(mailbox({ out: outOf('1'), again: [again('2')], runs: [run()] })).learn({
      kind: 'asked',
      session: null,
      held: null,
    });
    expect(box.mailbox).toMatchObject({ runs: [], again: [] });
    expect([box.freed, box.plan.wakeAt]).toEqual([['1'], null]);
  });
});

describe('a pass over a mailbox', () => {
  it('waits for the writes accepted until now when it is repeated', () => {
    const box = new Box(mailbox({ runs: [run()] }));
    expect(box.plan.run).not.toBeNull();
    expect(box.learn({ kind: 'repeated' }).plan).toMatchObject({ run: null, gates: [{ filter: 't/a' }] });
    expect(box.learn(gated()).plan.run).not.toBeNull();
  });

  it('does not send during a pause', () => {
    const box = new Box(mailbox({ runs: [run()] })).learn(sent([], { cursor: { topic: 't/a', id: '1' }, pauseUntil: NOW + 100 }));
    expect(box.plan).toMatchObject({ run: null, wakeAt: NOW + 100 });
    expect(box.pass(100).plan.run).toMatchObject({ cursor: { id: '1' } });
  });

  it('ends the delivery when EMQX has no subscriber', () => {
    const box = new Box(mailbox({ runs: [run({ lookAt: NOW + 10 }), run({ filter: 'u', cursor: null })] })).learn(
      sent([], { isOver: true }),
    );
    expect(box.mailbox.runs).toMatchObject([{ filter: 'u' }]);
  });

  it('adds up the messages that a delivery has sent', () => {
    const box = new Box(mailbox({ runs: [run({ sent: 1 })] })).learn(
      sent(['1', '2'], { unclocked: 3, hasInbox: true, window: 7, cursor: { topic: 't/a', id: '2' } }),
      due,
    );
    expect(box.mailbox.runs).toMatchObject([{ sent: 6, hasInbox: true, window: 7 }]);
  });
});
