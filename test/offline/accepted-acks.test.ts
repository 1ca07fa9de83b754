import { AcceptedAcks } from '../../src/offline/accept/accepted-acks';

describe('accepted acknowledgements', () => {
  it.each(['two', 'x'.repeat(65_535)])('are known by message, and by message and client', (clientid) => {
    const acks = new AcceptedAcks();
    acks.note('A', 'one');
    acks.note('A', clientid);
    expect([acks.has('A'), acks.has('A', 'one'), acks.has('A', clientid), acks.has('A', 'three'), acks.has('B')]).toEqual([true, true, true, false, false]);
  });

  it('are bounded: the oldest go', () => {
    const acks = new AcceptedAcks(10);
    for (let i = 0; i < 25; i++) acks.note(String(i), 'c');
    expect(Array.from({ length: 25 }, (_, i) => acks.has(String(i), 'c'))).toEqual(Array.from({ length: 25 }, (_, i) => i >= 10));
  });
});
