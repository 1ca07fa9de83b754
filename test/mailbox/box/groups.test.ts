import { GRACE_MS, GROUP_LOST_MS } from '../../../src/mailbox/times';
import { emptyMailbox, START } from '../../../src/mailbox/box/mailbox';
import { Box, NOW, again, copy, dropped, mailbox, run, sent, subscribed, unsubscribed } from './build';

const filter = '$share/g/t/a';
const consumer = '$share/g';
const member = (clientid: string, at = NOW) => subscribed({ clientid, filter, at, consumer });
const group = () => new Box(emptyMailbox(consumer));
const gated = (clientid: string) => ({ kind: 'gated', clientid, filter, tails: null }) as const;

describe('a shared group in pubsub mode', () => {
  it("waits for its members' lanes and then its own, and never asks EMQX", () => {
    const box = group().learn(member('m1'));
    expect(box.mailbox.runs).toMatchObject([{ gathers: 1, behind: 'note' }]);
    box.learn(gated('m1'));
    expect(box.mailbox.runs).toMatchObject([{ gathers: 0, behind: 'note' }]);
    expect(box.plan.run).toBeNull();
    expect(box.learn(gated('m1')).plan).toMatchObject({ asks: false, run: { clientid: 'm1' } });
  });

  it('has a delivery run for each of its last eight members, the newest first', () => {
    const box = group();
    for (let i = 0; i < 20; i++) box.learn(member(`m${i}`, NOW + i));
    expect(box.mailbox.runs.map(({ clientid }) => clientid)).toEqual(['m19', 'm18', 'm17', 'm16', 'm15', 'm14', 'm13', 'm12']);
    box.learn(member('m13', NOW + 10_000));
    expect(box.mailbox.runs[0]).toMatchObject({ clientid: 'm13', at: NOW + 10_000 });
    expect(box.mailbox.runs).toHaveLength(8);
  });

  it('starts one run for repeated subscriptions of one member', () => {
    const box = group().learn(
      member('m1'),
      gated('m1'),
      gated('m1'),
      sent([], { clientid: 'm1', filter }),
      member('m1', NOW + 500),
      member('m2', NOW + 500),
    );
    expect(box.mailbox.runs).toMatchObject([
      { clientid: 'm2', cursor: START },
      { clientid: 'm1', cursor: null },
    ]);
  });

  it('waits for the lanes once more when a member subscribes again, because acknowledgements from before that may be in them', () => {
    const box = group().learn(member('m1'), gated('m1'), gated('m1'));
    expect(box.plan.run).not.toBeNull();
    box.learn(member('m1', NOW + 500));
    expect(box.plan).toMatchObject({ run: null, gates: [{ clientid: 'm1', gathers: 1 }] });
    expect(box.learn(gated('m1'), gated('m1')).plan.run).toMatchObject({ at: NOW, cursor: START });
  });

  it('sends a new member messages that others have held for more than 10 s', () => {
    const out = new Map([
      ['1', copy('1', { clientid: 'm1', filter, sentAt: NOW - GRACE_MS - 1 })],
      ['2', copy('2', { clientid: 'm1', filter, sentAt: NOW - GRACE_MS })],
    ]);
    const box = new Box({ ...emptyMailbox(consumer), out }).learn(member('m2'));
    expect([box.ids, box.freed]).toEqual([['2'], ['1']]);
    // The new member's run reads it.
    expect(box.mailbox.again).toEqual([]);
  });

  it('takes a copy for lost after a minute when it blocks the window', () => {
    const out = new Map([['1', copy('1', { clientid: 'm1', filter })]]);
    const stuck = new Box({
      ...emptyMailbox(consumer),
      out,
      runs: [run({ clientid: 'm1', filter, window: 1, cursor: { topic: 't/a', id: '1' } })],
    });
    expect(stuck.plan.wakeAt).toBe(NOW + GROUP_LOST_MS);
    expect(stuck.pass(GROUP_LOST_MS - 1).ids).toEqual(['1']);
    // An acknowledgement may be in the member's lane, or already in the group's.
    expect(stuck.pass(1).plan).toMatchObject({ again: 0, run: null, gates: [{ clientid: 'm1', gathers: 1 }], wakeAt: stuck.now });
    expect(stuck.learn(gated('m1')).plan).toMatchObject({ again: 0, gates: [{ gathers: 0 }] });
    expect(stuck.learn(gated('m1')).plan.again).toBe(1);
    const done = new Box({ ...emptyMailbox(consumer), out, runs: [run({ clientid: 'm1', filter, cursor: null })] });
    expect(done.plan.wakeAt).toBeNull();
    expect(done.pass(GROUP_LOST_MS).ids).toEqual(['1']);
  });

  it('sends a message again that EMQX dropped for a member', () => {
    const out = new Map([['1', copy('1', { clientid: 'm1', filter })]]);
    expect(new Box({ ...emptyMailbox(consumer), out }).learn(dropped('1')).plan.wakeAt).toBe(NOW + GRACE_MS);
  });

  it("waits for its members' lanes once more in a repeated job, whatever it waited for before", () => {
    const behind = { tails: { c0: 7 }, at: NOW, waits: 3 };
    const box = new Box({ ...emptyMailbox(consumer), runs: [run({ clientid: 'm1', filter, behind })] });
    expect(box.learn({ kind: 'repeated' }).mailbox.runs).toMatchObject([{ behind: 'note', gathers: 1 }]);
    const client = new Box(mailbox({ runs: [run({ behind })] })).learn({ kind: 'repeated' });
    expect(client.mailbox.runs).toMatchObject([{ behind, gathers: 0 }]);
  });

  it('keeps the runs of other members when one leaves', () => {
    const box = group().learn(member('m1'), member('m2'), unsubscribed(NOW + 1, filter, 'm1'));
    expect(box.mailbox.runs).toMatchObject([{ clientid: 'm2' }]);
  });

  it('sends again without a connection of its own', () => {
    const box = new Box(mailbox({ consumer, session: null, again: [again('1', { clientid: 'm1', filter })], budget: 1 }));
    expect(box.plan.again).toBe(1);
  });
});
