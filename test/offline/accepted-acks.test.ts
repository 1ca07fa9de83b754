import { AcceptedAcks } from '../../src/offline/accept/accepted-acks';

describe('accepted acknowledgements', () => {
  it('are known until a page that was read before they were applied is sent or read again', () => {
    let now = 1_000_000;
    const acks = new AcceptedAcks(() => now);
    acks.note('A', 'one');
    acks.note('A', 'two');
    expect([acks.has('A'), acks.has('A', 'one'), acks.has('A', 'two'), acks.has('A', 'three'), acks.has('B')]).toEqual([true, true, true, false, false]);
    acks.applied(['A']);
    now += 5_001;
    acks.applied([]);
    expect(acks.has('A')).toBe(true);
    for (let i = 0; i < 2; i++) {
      now += 10_001;
      acks.applied([]);
    }
    expect(acks.has('A')).toBe(false);
  });

  it('are bounded', () => {
    const acks = new AcceptedAcks(() => 0);
    for (let i = 0; i <= 200_000; i++) acks.note(String(i), 'c');
    expect([acks.has('0'), acks.has('1'), acks.has('200000')]).toEqual([false, true, true]);
  });
});
