import fc from 'fast-check';
import { readIds, writeIds } from '../../src/mailbox/positions/id-list';

const hex = (digits: number) =>
  fc.bigInt({ min: 0n, max: 16n ** BigInt(digits) - 1n }).map((n) => n.toString(16).toUpperCase().padStart(digits, '0'));
const emqx5 = fc
  .tuple(fc.integer({ min: 0, max: 5_000 }), fc.constantFrom('F49A0000049C', 'F49A00000500', 'A00000000001'), hex(4))
  .map(
    ([at, publisher, counter]) => (1_800_000_000_000_000n + BigInt(at)).toString(16).toUpperCase().padStart(16, '0') + publisher + counter,
  );
const emqx4 = fc.string({ unit: fc.constantFrom(...'0123456789ABCabc'), minLength: 19, maxLength: 21 });

describe('message ids in their short form', () => {
  it('are read back unchanged', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.oneof(emqx5, hex(32), emqx4), { maxLength: 60 }), (ids) => {
        expect(writeIds(ids).flatMap(readIds).sort()).toEqual([...ids].sort());
      }),
    );
  });

  it('contain a single id in its plain form', () => {
    expect(writeIds(['00066517288980000F49A0000049C001'])).toEqual(['00066517288980000F49A0000049C001']);
  });

  it('need under 10 bytes per id of one publisher and 23 of many', () => {
    const of = (publisher: (i: number) => number) =>
      Array.from(
        { length: 2_000 },
        (_, i) =>
          (1_800_000_000_000_000n + BigInt(i * 200)).toString(16).toUpperCase().padStart(16, '0') +
          publisher(i).toString(16).toUpperCase().padStart(12, '0') +
          '0001',
      );
    const [one, many] = [writeIds(of(() => 7)), writeIds(of((i) => i))];
    expect(one.join().length).toBeLessThan(20_000);
    expect(many.join().length).toBeLessThan(46_000);
    for (const text of [...one, ...many]) expect(text.length).toBeLessThan(16_384);
  });
});
