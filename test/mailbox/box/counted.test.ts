import { SILENCE_MS } from '../../../src/mailbox/times';
import { emptyMailbox } from '../../../src/mailbox/box/mailbox';
import { Box, NOW, acked, connected, copy, counted, gated, idAt, mailbox, outOf, run, subscribed } from './build';

const shared = { filter: '$share/g/t/a' };

describe('when EMQX counts the messages of a session but cannot list them', () => {
  it('a subscription of a resumed session waits for two seconds without acknowledgements', () => {
    const box = new Box(emptyMailbox('c')).learn(connected(NOW - 50, false, 60_000), subscribed(), gated(), counted(3));
    expect(box.plan).toMatchObject({ run: null, wakeAt: NOW + SILENCE_MS });
    expect(box.pass(SILENCE_MS).plan.run).not.toBeNull();
  });

  it("each acknowledgement of EMQX's own messages restarts the two seconds", () => {
    const box = new Box(emptyMailbox('c')).learn(connected(NOW - 50, false, 60_000), subscribed(), gated(), counted(3));
    box.pass(1_500).learn(acked(idAt(NOW - 1_000), false));
    expect(box.pass(1_500).plan).toMatchObject({ run: null, wakeAt: NOW + 1_500 + SILENCE_MS });
    expect(box.pass(500).plan.run).not.toBeNull();
  });

  it('an acknowledgement of a newer message does not restart the two seconds', () => {
    const box = new Box(emptyMailbox('c')).learn(connected(NOW - 50, false, 60_000), subscribed(), gated(), counted(3));
    box.pass(1_500).learn(acked(idAt(NOW + 1), false), acked('unknown', false));
    expect(box.pass(500).plan.run).not.toBeNull();
  });

  it("the oldest copies above EMQX's count are taken for lost", () => {
    const box = new Box(mailbox({ out: outOf('1', '2', '3', '4') })).learn(counted(1, { inflight: 1 }));
    expect(box.pass(SILENCE_MS - 1).ids).toHaveLength(4);
    expect(box.pass(1).mailbox.again.map(({ id }) => id)).toEqual(['1', '2']);
    expect(box.ids).toEqual(['3', '4']);
  });

  it('no copy is taken for lost while acknowledgements arrive', () => {
    const box = new Box(mailbox({ out: outOf('1', '2', '3') })).learn(counted(1));
    box.pass(1_500).learn(acked('1')).pass(1_500);
    expect(box.ids).toEqual(['2', '3']);
    expect(box.mailbox.doubtUntil).toBe(NOW + 1_500 + SILENCE_MS);
  });

  it('nothing is in doubt when EMQX counts all copies', () => {
    expect(new Box(mailbox({ out: outOf('1', '2') })).learn(counted(1, { inflight: 1 })).mailbox.doubtUntil).toBeNull();
  });

  it('a copy for a shared subscription is not counted, because another member may have it', () => {
    const out = new Map([
      ['1', copy('1')],
      ['2', copy('2', shared)],
      ['3', copy('3', shared)],
    ]);
    const box = new Box(mailbox({ out, runs: [run({ cursor: null })] })).learn(counted(1)).pass(SILENCE_MS);
    expect(box.ids).toEqual(['1', '2', '3']);
    const older = new Map([
      ['1', copy('1')],
      ['2', copy('2', { ...shared, sentAt: NOW - 60_000 })],
    ]);
    expect(new Box(mailbox({ out: older })).learn(counted(0)).pass(SILENCE_MS).ids).toEqual([]);
  });

  it('a subscription of a new session without messages is served at once', () => {
    const box = new Box(emptyMailbox('c')).learn(subscribed(), gated(), counted(0, { createdAt: NOW - 5, connectedAt: NOW - 5 }));
    expect(box.plan.run).not.toBeNull();
  });
});
