import type { Acknowledged } from '../../src/lanes/jobs';
import type { Run } from '../../src/mailbox/box/mailbox';
import { emptyMailbox, START } from '../../src/mailbox/box/mailbox';
import { Acks } from '../../src/mailbox/pass/acks';
import { Seat } from '../../src/mailbox/pass/seat';
import { Positions } from '../../src/mailbox/positions/positions';
import { clientKey, mailboxKey } from '../../src/mqtt/consumer';
import { MemoryStore } from '../support/memory-store';
import { policy } from '../support/policies';

const DAY_MS = 24 * 3_600_000;
const GROUP = '$share/g';
const RUN: Run = {
  ...{ clientid: 'c', filter: 't/1', qos: 1, at: 1, requestedAt: 1, cursor: START, behind: null, gathers: 0, sent: 0, window: 1 },
  ...{ leavesRetained: false, lookAt: null, looks: 0, isBlocked: false, hasInbox: true },
};
const ack = (id: string, fields: Partial<Acknowledged> = {}): Acknowledged => ({
  kind: 'acked',
  clientid: 'c',
  id,
  topic: 't/1',
  ours: true,
  isRead: true,
  ...fields,
});

/** Applies acknowledgements for a consumer that was sent the messages `out`; `filters` are the client's subscriptions. */
function subject(filters: readonly string[], out: readonly string[] = []) {
  const store = new MemoryStore();
  store.subscriptions.push(...filters.map((topic) => ({ clientid: 'c', topic, qos: 1 as const })));
  let now = 1_800_000_000_000;
  const deps = {
    store,
    state: { raise: async () => undefined },
    acks: { settled: async () => undefined },
    policies: [policy({ mode: 'pubsub' })],
    now: () => now,
  };
  const acks = new Acks(deps);
  const book = new Positions(deps);
  const seatOf = (consumer: string): Seat => {
    const copies = out.map(
      (id) => [id, { topic: 't/1', qos: 1, clientid: 'c', filter: 't/1', sentAt: now, emqxId: null, isMissing: false }] as const,
    );
    const mailbox = { ...emptyMailbox(consumer), out: new Map(copies), runs: [RUN] };
    return new Seat(mailboxKey(consumer), [], { mailbox, version: 1 }, book);
  };
  /** @returns what came of it. */
  const apply = async (events: readonly Acknowledged[], { consumer = 'c', isRepeated = false } = {}) => {
    const seat = seatOf(consumer);
    const { mail, settled } = await acks.apply(seat, events, isRepeated);
    await seat.positions.save(seat.version);
    const [position] = await store.getPositions(consumer, ['t/1']);
    const read = (position?.receipts ?? []).filter((each) => !each.startsWith('@'));
    return { mail, settled, read, out: [...seat.mailbox.out.keys()] };
  };
  return { store, apply, pass: (ms: number) => void (now += ms) };
}

describe('an acknowledgement in pubsub mode', () => {
  it('of a plain subscriber counts as read and frees its place in the window', async () => {
    const { apply } = subject(['t/+'], ['A', 'B']);
    expect(await apply([ack('A')])).toEqual({ mail: [], settled: [{ id: 'A', reader: 'c' }], read: ['A'], out: ['B'] });
  });

  // Promise 10. The guard is `isCopy`: what EMQX delivered itself says nothing of the copy that we sent.
  it('of a message that EMQX delivered counts as read but frees no place', async () => {
    const { apply } = subject(['t/+'], ['A']);
    expect(await apply([ack('A', { ours: false })])).toMatchObject({ read: ['A'], out: ['A'] });
  });

  it('of a group member is passed on to the mailbox of the group', async () => {
    const { apply } = subject(['$share/g/t/+']);
    const { mail, read } = await apply([ack('A')]);
    expect(mail).toEqual([{ ...ack('A'), to: mailboxKey(GROUP), isRead: false, group: { consumer: GROUP, sure: true, filters: ['t/+'] } }]);
    expect(read).toEqual([]);
  });

  it('that may belong to another subscription counts for the group only if it was sent the message', async () => {
    const member = subject(['$share/g/t/+', 't/1']);
    expect((await member.apply([ack('A')])).mail).toMatchObject([{ group: { sure: false } }]);
    const group = { consumer: GROUP, sure: false, filters: ['t/+'] };
    const news = ack('A', { isRead: false, group });
    // EMQX still has the group's own copy for one of the members.
    expect(await subject([], ['A']).apply([news], { consumer: GROUP })).toMatchObject({ read: ['A'], out: ['A'] });
    const ofGroup = ack('A', { isRead: false, isOfGroup: true, group });
    expect(await subject([], ['A']).apply([ofGroup], { consumer: GROUP })).toMatchObject({ read: ['A'], out: [] });
    expect(await subject([], ['B']).apply([news], { consumer: GROUP })).toMatchObject({ read: [], out: ['B'] });
    expect(await subject([]).apply([ack('A', { isRead: false, group: { ...group, sure: true } })], { consumer: GROUP })).toMatchObject({
      read: ['A'],
    });
  });

  // The group never had it, and would have lost it. The guard is isOwn in Acks.readByClient.
  it("of a copy for the member's own former subscription does not count for the group", async () => {
    const { apply } = subject(['$share/g/t/+'], ['A']);
    expect(await apply([ack('A')])).toMatchObject({ read: ['A'], out: [], mail: [{ group: { sure: false } }] });
    // The first try has taken it out of the mailbox.
    const again = subject(['$share/g/t/+']);
    expect((await again.apply([ack('A')], { isRepeated: true })).mail).toMatchObject([{ group: { sure: false } }]);
  });

  it('in queue mode frees the place in the window and changes no read position', async () => {
    const { apply } = subject(['t/1'], ['A', 'B']);
    expect(await apply([ack('A', { isRead: undefined as never })])).toEqual({ mail: [], settled: [], read: [], out: ['B'] });
  });
});

// The guard is Acks.keep: its subscriptions were deleted after two weeks, and the group got again what it had acknowledged.
test("a group member's acknowledgement marks its subscriptions as seen, once a day", async () => {
  const { store, apply, pass } = subject(['$share/g/t/+', 't/own']);
  const seen = () => store.subscriptions.map(({ topic, seenAt }) => [topic, seenAt]);
  await apply([ack('A')]);
  pass(DAY_MS - 1);
  await apply([ack('B')]);
  expect(seen()).toEqual([
    ['$share/g/t/+', 1_800_000_000_000],
    ['t/own', 1_800_000_000_000],
  ]);
  pass(1);
  await apply([ack('C')]);
  expect(seen()).toEqual([
    ['$share/g/t/+', 1_800_000_000_000 + DAY_MS],
    ['t/own', 1_800_000_000_000 + DAY_MS],
  ]);
});

test('an acknowledgement of a client without a group does not mark its subscriptions as seen', async () => {
  const { store, apply } = subject(['t/+']);
  await apply([ack('A')]);
  expect(store.subscriptions).toEqual([{ clientid: 'c', topic: 't/+', qos: 1 }]);
});

test('a client id that looks like a group has another mailbox key than the group', () => {
  expect(clientKey(GROUP)).not.toBe(mailboxKey(GROUP));
});
