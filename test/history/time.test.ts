import { numberOf, timeOf, toNanoseconds } from '../../src/history/shared/time';
import { message, newId } from '../support/messages';

describe('the time of a message', () => {
  const at = 1_700_000_000_123;
  const id = (microseconds: number, tail = 'F49A0000049C0001') => microseconds.toString(16).padStart(16, '0').toUpperCase() + tail;

  it("has the microseconds at the start of EMQX's id", () => {
    const { time, tie } = timeOf(message({ topic: 't', id: id(at * 1_000 + 456), publishReceivedAt: at }));
    expect(time).toBe(1_700_000_000_123_456_000n);
    expect(tie).toBeGreaterThanOrEqual(0n);
    expect(tie).toBeLessThan(1_000n);
  });

  it("is its receive time when the id is not EMQX's or differs", () => {
    for (const other of ['abc', id((at + 60_001) * 1_000), 'x'.repeat(32), newId().toLowerCase()]) {
      const { time, tie } = timeOf(message({ topic: 't', id: other, publishReceivedAt: at }));
      expect(time).toBe(1_700_000_000_123_000_000n);
      expect(tie).toBeLessThan(1_000_000n);
    }
  });

  it('is the same on every call', () => {
    const one = message({ topic: 't' });
    expect(timeOf({ ...one })).toEqual(timeOf(one));
  });

  it('distinguishes messages of the same microsecond', () => {
    const ties = Array.from({ length: 1_000 }, (_, i) => {
      const tail = `F49A0000049C${(i + 5_000).toString(16).padStart(4, '0').toUpperCase()}`;
      return timeOf(message({ topic: 't', id: id(at * 1_000, tail), publishReceivedAt: at })).tie;
    });
    expect(new Set(ties).size).toBe(1_000);
    const processes = ['F49A0000049C0001', 'F49A0000049D0001'].map(
      (tail) => timeOf(message({ topic: 't', id: id(at * 1_000, tail), publishReceivedAt: at })).tie,
    );
    expect(processes[0]).not.toBe(processes[1]);
  });
});

describe('a time in a payload', () => {
  it.each<[unknown, bigint | null]>([
    [1_700_000_000, 1_700_000_000_000_000_000n],
    [1_700_000_000.25, 1_700_000_000_250_000_000n],
    [1_700_000_000_123, 1_700_000_000_123_000_000n],
    [1_700_000_000_123.5, 1_700_000_000_123_500_000n],
    [1_700_000_000_123_456, 1_700_000_000_123_456_000n],
    ['1700000000123456789', 1_700_000_000_123_456_789n],
    [' 1700000000 ', 1_700_000_000_000_000_000n],
    ['1.7e9', 1_700_000_000_000_000_000n],
    [1_700_000_000_123_456_789n, 1_700_000_000_123_456_789n],
    [0, 0n],
    [-1, -1_000_000_000n],
    ['yesterday', null],
    ['', null],
    [null, null],
    [true, null],
    [Infinity, null],
    [1e300, null],
    ['9999999999999999999', null],
  ])('of %p is read as %p ns', (value, expected) => {
    expect(toNanoseconds(value)).toBe(expected);
  });
});

describe('a number in a payload', () => {
  it.each<[unknown, number | null]>([
    [1.5, 1.5],
    ['1.5', 1.5],
    ['-2e3', -2000],
    [' 7\n', 7],
    [3n, 3],
    ['0x10', null],
    ['1_000', null],
    ['', null],
    ['NaN', null],
    [NaN, null],
    ['1e999', null],
    [true, null],
    [Buffer.from('1'), null],
  ])('of %p is read as %p', (value, expected) => {
    expect(numberOf(value)).toBe(expected);
  });
});
