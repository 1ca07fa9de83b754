import { SILENCE_MS } from '../../../src/mailbox/times';
import { emptyMailbox } from '../../../src/mailbox/box/mailbox';
import { Box, NOW, acked, connected, copy, counted, gated, idAt, mailbox, outOf, run, subscribed } from './build';

const shared = { filter: '$share/g/t/a' };

describe('where EMQX can not list what it holds, but counts it', () => {
  it('a subscription of a session that resumes waits for two seconds of silence', () => {
    const box = new Box(emptyMailbox('c')).learn(connected(NOW - 50, false, 60_000), subscribed(), gated(), counted(3));
    expect(box.plan).toMatchObject({ run: null, wakeAt: NOW + SILENCE_MS });
    expect(box.pass(SILENCE_MS).plan.run).not.toBeNull();
  });

  it('each acknowledgement of what EMQX had of its own puts that off', () => {
    const box = new Box(emptyMailbox('c')).learn(connected(NOW - 50, false, 60_000), subscribed(), gated(), counted(3));
    box.pass(1_500).learn(acked(idAt(NOW - 1_000), false));
    expect(box.pass(1_500).plan).toMatchObject({ run: null, wakeAt: NOW + 1_500 + SILENCE_MS });
    expect(box.pass(500).plan.run).not.toBeNull();
  });

  it('but not of what arrives meanwhile: it would never be silent', () => {
    const box = new Box(emptyMailbox('c')).learn(connected(NOW - 50, false, 60_000), subscribed(), gated(), counted(3));
    box.pass(1_500).learn(acked(idAt(NOW + 1), false), acked('unknown', false));
    expect(box.pass(500).plan.run).not.toBeNull();
  });

  it('of more copies than it counts the oldest are lost', () => {
    const box = new Box(mailbox({ out: outOf('1', '2', '3', '4') })).learn(counted(1, { inflight: 1 }));
    expect(box.pass(SILENCE_MS - 1).ids).toHaveLength(4);
    expect(box.pass(1).mailbox.again.map(({ id }) => id)).toEqual(['1', '2']);
    expect(box.ids).toEqual(['3', '4']);
  });

  it('as long as acknowledgements come nothing is lost', () => {
    const box = new Box(mailbox({ out: outOf('1', '2', '3') })).learn(counted(1));
    box.pass(1_500).learn(acked('1')).pass(1_500);
    expect(box.ids).toEqual(['2', '3']);
    expect(box.mailbox.doubtUntil).toBe(NOW + 1_500 + SILENCE_MS);
  });

  it('with all of them there nothing is in doubt', () => {
    expect(new Box(mailbox({ out: outOf('1', '2') })).learn(counted(1, { inflight: 1 })).mailbox.doubtUntil).toBeNull();
  });

  it('what was sent for a shared subscription may be with another member, and is no sign that anything is lost', () => {
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

  it('a session that is new and for which nothing waits is read at once', () => {
    const box = new Box(emptyMailbox('c')).learn(subscribed(), gated(), counted(0, { createdAt: NOW - 5, connectedAt: NOW - 5 }));
    expect(box.plan.run).not.toBeNull();
  });
});
