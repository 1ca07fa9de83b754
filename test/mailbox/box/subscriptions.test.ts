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
  it('of a session that has just begun is read at once, without asking EMQX', () => {
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

  it('looks less and less often whether the writes are done, and at last twice a second', () => {
    const box = new Box(emptyMailbox('c')).learn(connected(NOW - 50, true), subscribed());
    const pauses: number[] = [];
    for (let i = 0; i < 8; i++) {
      box.learn({ kind: 'gated', clientid: 'c', filter: 't/a', tails: { m0: 7 } });
      pauses.push((box.plan.wakeAt ?? 0) - box.now);
      box.pass(pauses.at(-1) as number);
    }
    expect(pauses).toEqual([10, 20, 40, 80, 160, 320, 500, 500]);
  });

  it('of a session that resumes is asked for first and waits a second for acknowledgements that are on their way', () => {
    const box = resumed();
    expect(box.plan).toMatchObject({ asks: true, run: null });
    box.learn(told(['own']));
    expect(box.plan).toMatchObject({ asks: false, run: null, wakeAt: NOW + ON_ITS_WAY_MS });
    expect(box.pass(ON_ITS_WAY_MS - 1).plan.run).toBeNull();
    expect(box.pass(1).plan.run).toMatchObject({ filter: 't/a' });
    expect([...box.mailbox.held]).toEqual(['own']);
  });

  it('of a client that nothing is known of is asked for', () => {
    expect(new Box(emptyMailbox('c')).learn(subscribed(), gated()).plan).toMatchObject({ asks: true, run: null });
  });

  it('of a session that EMQX says is new, and holds nothing for, is read at once', () => {
    const box = new Box(emptyMailbox('c')).learn(subscribed(), gated(), told([], { createdAt: NOW - 5, connectedAt: NOW - 5 }));
    expect(box.plan).toMatchObject({ asks: false, run: { filter: 't/a' } });
  });

  it('is over when EMQX knows no such client', () => {
    const box = new Box(emptyMailbox('c')).learn(subscribed(), gated(), { kind: 'asked', session: null, held: null });
    expect(box.plan).toMatchObject({ asks: false, run: null, wakeAt: null });
  });

  it('that overlaps another one of the connection is asked for: EMQX may hold what that one brought', () => {
    const box = fresh().learn(sent([]), subscribed({ filter: 't/+', at: NOW + 5_000 }), gated('t/+'));
    expect(box.plan).toMatchObject({ asks: true, run: null });
    box.learn(told(['live'], { createdAt: NOW - 50, connectedAt: NOW - 50 }));
    expect(box.plan.run).toBeNull();
    expect(box.pass(ON_ITS_WAY_MS).plan.run).toMatchObject({ filter: 't/+' });
  });

  it('that is made again later waits for acknowledgements of what EMQX brought meanwhile, though EMQX holds nothing any more', () => {
    const box = fresh().learn(sent([]), subscribed({ at: NOW + 5_000 }), gated(), told([], { createdAt: NOW - 50, connectedAt: NOW - 50 }));
    expect(box.plan).toMatchObject({ run: null, wakeAt: NOW + ON_ITS_WAY_MS });
    expect(box.pass(ON_ITS_WAY_MS).plan.run).not.toBeNull();
  });

  it('that follows one which was ended is no first one, whoever tells of the connection', () => {
    const session = { createdAt: NOW - 50, connectedAt: NOW - 50 };
    const facts = [subscribed({ filter: 't/+', at: NOW - 20 }), unsubscribed(NOW - 10, 't/+'), subscribed()];
    const asked = new Box(emptyMailbox('c')).learn(...facts, gated(), told([], session));
    expect(asked.plan).toMatchObject({ run: null, wakeAt: NOW + ON_ITS_WAY_MS });
    const informed = new Box(emptyMailbox('c')).learn(...facts, connected(NOW - 50, true), gated());
    expect(informed.mailbox.session?.filters).toEqual(['t/a', 't/+']);
    expect(informed.plan).toMatchObject({ asks: true, run: null });
  });

  it('that has nothing in common with the others of the connection is not asked for', () => {
    expect(fresh().learn(sent([]), subscribed({ filter: 'u/+', at: NOW + 5_000 }), gated('u/+')).plan).toMatchObject({
      asks: false,
      run: { filter: 'u/+' },
    });
  });

  it('that overlaps one whose event came before that of their connection is asked for, too', () => {
    const box = new Box(emptyMailbox('c')).learn(subscribed(), connected(NOW - 50, true, 0), gated(), sent([]));
    box.learn({
      kind: 'asked',
      session: { connected: true, connectedAt: NOW - 50, createdAt: NOW - 50, persistent: false, durable: false, queued: 0, inflight: 0 },
      held: null,
    });
    expect(box.plan.asks).toBe(false);
    expect(box.learn(subscribed({ filter: 't/+', at: NOW + 5_000 }), gated('t/+')).plan).toMatchObject({ asks: true, run: null });
  });

  it('is asked for when it is one of very many', () => {
    const filters = Array.from({ length: 64 }, (_, i) => `f/${i}`);
    const box = new Box(mailbox({ session: session({ isNew: true, filters }) })).learn(subscribed({ filter: 'u' }), gated('u'));
    expect(box.plan.asks).toBe(true);
    expect(box.mailbox.session?.filters).toHaveLength(64);
  });

  it('goes over its topics once more after ten seconds, and then it is done', () => {
    const box = fresh().learn(sent([]));
    expect(box.plan).toMatchObject({ run: null, wakeAt: NOW + GRACE_MS });
    box.pass(GRACE_MS).learn(gated());
    expect(box.plan.run).toMatchObject({ cursor: START, leavesRetained: false, looks: 1, at: NOW });
    expect(box.learn(sent([])).mailbox.runs).toEqual([]);
    expect(box.plan.wakeAt).toBeNull();
  });

  it('leaves the retained message to EMQX at first, but not that of a group, which EMQX sends none', () => {
    expect(fresh().plan.run?.leavesRetained).toBe(true);
    const box = new Box(emptyMailbox('c')).learn(connected(NOW - 50, true), subscribed({ filter: '$share/g/t/a' }), gated('$share/g/t/a'));
    expect(box.plan.run?.leavesRetained).toBe(false);
  });

  it('that met what somebody else is being sent looks again until it meets none', () => {
    const box = new Box(mailbox({ runs: [run({ looks: 1 })] })).learn(sent([], { isBlocked: true }));
    expect(box.plan.wakeAt).toBe(NOW + GRACE_MS);
    box.pass(GRACE_MS).learn(gated());
    expect(box.plan.run).toMatchObject({ isBlocked: false, looks: 2 });
    expect(box.learn(sent([])).mailbox.runs).toEqual([]);
  });

  it('looks again, less and less often, as long as EMQX holds messages of its own, and asks for them each time', () => {
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

  it('looks again while EMQX did not say whether it has what was sent', () => {
    const unknown: [string, ReturnType<typeof copy>] = ['1', copy('1', { emqxId: null })];
    const box = new Box(mailbox({ runs: [run({ looks: 1 })] })).learn(sent([], { copies: [unknown] }));
    expect(box.mailbox.runs).toMatchObject([{ lookAt: NOW + 30_000 }]);
  });

  it('is not looked at again while its client is away, but when it is back', () => {
    const box = fresh()
      .learn(sent([]))
      .learn(disconnected(NOW + 5_000, NOW - 50 + 60_000));
    expect(box.pass(60_000).plan).toMatchObject({ wakeAt: null, run: null });
  });

  it('is void if an unsubscribe is newer, whatever comes first', () => {
    const box = fresh().learn(unsubscribed(NOW + 1));
    expect(box.mailbox.runs).toEqual([]);
    expect(box.learn(subscribed()).mailbox.runs).toEqual([]);
    expect(box.learn(subscribed({ at: NOW + 2 })).mailbox.runs).toHaveLength(1);
  });

  it('stays if the unsubscribe is older', () => {
    expect(fresh().learn(unsubscribed(NOW - 1)).mailbox.runs).toHaveLength(1);
  });

  it('when it ends takes with it what would be sent again for it, and nothing of others', () => {
    const box = new Box(
      mailbox({ runs: [run(), run({ filter: 'u' })], again: [again('1'), again('2', { filter: 'u' })], out: outOf('3') }),
    );
    box.learn(unsubscribed(NOW + 1));
    expect(box.mailbox).toMatchObject({ again: [{ id: '2' }], runs: [{ filter: 'u' }] });
    expect(box.ids).toEqual(['3']);
  });

  it('takes over what its client had dropped before, as far as it reads it', () => {
    const box = new Box(mailbox({ again: [again('1'), again('2', { topic: 'u', filter: 'u' })], retryAt: NOW + 1_000, rounds: 3 })).learn(
      subscribed({ filter: 't/#' }),
    );
    expect(box.mailbox).toMatchObject({ again: [{ id: '2' }], retryAt: NOW + 1_000, rounds: 0 });
    expect(box.learn(subscribed({ filter: 'u' })).mailbox).toMatchObject({ again: [], retryAt: null });
  });

  it('remembers unsubscribes of the last filters only', () => {
    const box = new Box(mailbox());
    for (let i = 0; i < 100; i++) box.learn(unsubscribed(NOW, `f/${i}`));
    expect(box.mailbox.left).toHaveLength(64);
    expect(box.mailbox.left.at(-1)?.filter).toBe('f/99');
  });
});

describe('a storm: the same subscription again within two seconds', () => {
  it('sends nothing a second time', () => {
    const box = fresh()
      .learn(sent(['1']))
      .learn(subscribed({ at: NOW + STORM_MS - 1 }));
    expect(box.plan.run).toBeNull();
    expect(box.mailbox.runs).toMatchObject([{ at: NOW, requestedAt: NOW + STORM_MS - 1, cursor: null }]);
  });

  it('is over after two seconds', () => {
    const box = fresh()
      .learn(sent([]))
      .learn(subscribed({ at: NOW + STORM_MS }), gated());
    expect(box.mailbox.runs).toMatchObject([{ at: NOW + STORM_MS, cursor: START }]);
  });

  it('with another QoS reads anew up to the first one of it, and counts on', () => {
    const box = fresh()
      .learn(sent(['1']))
      .learn(subscribed({ at: NOW + 500, qos: 2 }));
    expect(box.mailbox.runs).toMatchObject([{ at: NOW, requestedAt: NOW + 500, cursor: START, qos: 2, sent: 1 }]);
  });

  it('an older request that comes late does not change what the newer one asked for', () => {
    const box = fresh().learn(subscribed({ at: NOW - 60, qos: 0 }));
    expect(box.mailbox.runs).toMatchObject([{ at: NOW, requestedAt: NOW, qos: 1 }]);
    expect(box.learn(unsubscribed(NOW - 10)).mailbox.runs).toHaveLength(1);
  });

  it('whose first request comes late leaves to EMQX what was published after that, and EMQX is asked', () => {
    const box = fresh().learn(subscribed({ at: NOW - 20 }));
    expect(box.mailbox.runs).toMatchObject([{ at: NOW - 20, requestedAt: NOW }]);
    expect(box.plan.asks).toBe(true);
  });

  it('a late request of another connection changes nothing', () => {
    const box = fresh().learn(subscribed({ at: NOW - 51 }));
    expect(box.mailbox.runs).toMatchObject([{ at: NOW, requestedAt: NOW }]);
    expect(box.plan.asks).toBe(false);
  });

  it('does not reach over a new connection', () => {
    const box = fresh()
      .learn(sent(['1']))
      .learn(connected(NOW + 500, true, 0), subscribed({ at: NOW + 600 }));
    expect(box.mailbox.runs).toMatchObject([{ at: NOW + 600, cursor: START }]);
    expect(box.ids).toEqual([]);
  });

  it('does not reach over a new connection whose event comes late', () => {
    const box = fresh()
      .learn(sent(['1']))
      .learn(subscribed({ at: NOW + 600 }), connected(NOW + 500, true, 0));
    expect(box.mailbox.runs).toMatchObject([{ at: NOW + 600, cursor: START, sent: 0 }]);
    expect([box.ids, box.freed]).toEqual([[], ['1']]);
  });

  it('may be another connection, where nothing tells of them: EMQX is asked', () => {
    const box = new Box(mailbox({ session: session({ isTold: false }), runs: [run({ cursor: null })], out: outOf('1') })).learn(
      subscribed({ at: NOW + 100 }),
    );
    expect(box.plan.asks).toBe(true);
    const told = new Box(mailbox({ runs: [run({ cursor: null })], out: outOf('1') })).learn(subscribed({ at: NOW + 100 }));
    expect(told.plan.asks).toBe(false);
  });

  it('that turns out to be another connection is read anew, up to its last request', () => {
    const known = session({ isTold: false, isNew: true, connectedAt: NOW - 50 });
    const box = new Box(mailbox({ session: known, runs: [run({ cursor: null, sent: 7 })] })).learn(subscribed({ at: NOW + 900 }));
    expect(box.plan.asks).toBe(true);
    box.learn(told([], { createdAt: NOW + 800, connectedAt: NOW + 800 }));
    expect(box.mailbox.runs).toMatchObject([{ at: NOW + 900, cursor: START, sent: 0 }]);
  });

  it('of a client that was taken for gone says that it is there', () => {
    const box = new Box(mailbox({ session: session({ connected: false }), runs: [run()] })).learn(subscribed({ at: NOW + 100 }), due);
    expect(box.plan).toMatchObject({ asks: true });
    expect(box.mailbox.session).toMatchObject({ connected: true, isNew: null });
  });

  it('that is only the same event again says nothing new', () => {
    const box = new Box(mailbox({ session: session({ connected: false }), runs: [run()] })).learn(subscribed());
    expect(box.mailbox.session?.connected).toBe(false);
  });
});
