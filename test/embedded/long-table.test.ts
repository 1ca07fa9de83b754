import fc from 'fast-check';
import type { SortedMap } from '../../src/embedded/table';
import { temporaryEnvironment } from '../support/environment';

/** As a table must be: keys as hex, which sorts as the bytes do. */
class Model {
  readonly values = new Map<string, string>();

  entries(from: string | undefined, to: string | undefined, reverse: boolean, limit: number): string[] {
    const own = [...this.values]
      .filter(([key]) => key >= (from ?? '') && (to === undefined || key < to))
      .sort(([a], [b]) => (a < b ? -1 : 1));
    return (reverse ? own.reverse() : own).slice(0, limit).map(([key, value]) => `${key}=${value}`);
  }
}

// Keys that share long beginnings, end where a chunk ends, and have bytes that the table itself uses.
const part = fc.constantFrom('61', '00', '01', '02', 'ff', '61'.repeat(479), '61'.repeat(480), `${'61'.repeat(479)}00`, '62'.repeat(480));
const key = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join(''));
const bound = fc.option(key, { nil: undefined });
const command = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('put' as const), key, value: fc.constantFrom('01', '02', 'ff') }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('remove' as const), key }) },
);
const reading = fc.record({ from: bound, to: bound, reverse: fc.boolean(), limit: fc.constantFrom(1, 3, 1_000) });

describe('a table with keys of any length', () => {
  const { get } = temporaryEnvironment();

  const read = (map: SortedMap, from: string | undefined, to: string | undefined, reverse: boolean, limit: number): string[] => {
    const bounds = {
      ...(from !== undefined && { from: Buffer.from(from, 'hex') }),
      ...(to !== undefined && { to: Buffer.from(to, 'hex') }),
    };
    return [...map.entries({ ...bounds, reverse, limit })].map((entry) => `${entry.key.toString('hex')}=${entry.value.toString('hex')}`);
  };

  it.each(['short', 'long'] as const)('behaves like a sorted map (%s keys)', async (kind) => {
    let tables = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(command, { maxLength: 40 }),
        fc.array(reading, { minLength: 1, maxLength: 6 }),
        async (commands, readings) => {
          const name = `${kind}${tables++ % 8}`;
          const map = kind === 'long' ? get().longTable(name) : get().table(name);
          const model = new Model();
          await get().write(() => {
            for (const each of [...map.entries()]) map.remove(each.key);
            for (const each of commands.filter((one) => kind === 'long' || one.key.length <= 1_000)) {
              const bytes = Buffer.from(each.key, 'hex');
              if (each.do === 'put') {
                map.put(bytes, Buffer.from(each.value, 'hex'));
                model.values.set(each.key, each.value);
              } else {
                map.remove(bytes);
                model.values.delete(each.key);
              }
              // Its own changes are seen at once.
              expect(map.get(bytes)?.toString('hex')).toBe(model.values.get(each.key));
            }
          });
          for (const each of commands) {
            if (kind === 'short' && each.key.length > 1_000) continue;
            expect(map.has(Buffer.from(each.key, 'hex'))).toBe(model.values.has(each.key));
          }
          for (const { from, to, reverse, limit } of kind === 'long'
            ? readings
            : readings.filter((each) => Math.max(each.from?.length ?? 0, each.to?.length ?? 0) <= 1_000)) {
            expect(read(map, from, to, reverse, limit)).toEqual(model.entries(from, to, reverse, limit));
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  it('leaves nothing behind when all keys are removed', async () => {
    const map = get().longTable('emptied');
    const keys = Array.from({ length: 20 }, (_, i) => Buffer.from('x'.repeat(i * 300) + i));
    await get().write(() => keys.forEach((each) => map.put(each, each)));
    expect([...map.entries()]).toHaveLength(20);
    await get().write(() => keys.forEach((each) => map.remove(each)));
    // The number of the node that was made last is not used again.
    expect(get().table('emptied').count).toBe(1);
  });
});
