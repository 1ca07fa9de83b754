import fc from 'fast-check';
import { withBackends } from '../support/backends';
import { CLICKHOUSES, Sql } from '../support/clickhouse';
import { identifier, list, number, text } from '../../src/stores/clickhouse/literal';
import { HOSTILE } from '../support/hostile';
import { noise } from './conformance/content';

describe('clickhouse literals', () => {
  it.each([
    ['conformance/1/a-b_c.$d+#', `'conformance/1/a-b_c.$d+#'`],
    ['', `''`],
    [`it's`, `unhex('69742773')`],
    ['a\\b', `unhex('615c62')`],
    ['é', `unhex('c3a9')`],
    ['{x:String}', `unhex('7b783a537472696e677d')`],
    ['a\n', `unhex('610a')`],
  ])('%p is %s', (value, expected) => expect(text(value)).toBe(expected));

  it('hold nothing that could end them', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (value) => /^(?:'[^'\\]*'|unhex\('[0-9a-f]*'\))$/.test(text(value))));
  });

  it.each([-1, 0.5, NaN, Infinity, 2 ** 53])('no number but a whole one: %p', (value) => expect(() => number(value)).toThrow(TypeError));
  it('no list of nothing', () => expect(() => list([])).toThrow(TypeError));

  describe.each(CLICKHOUSES)('%s', (backend) => {
    withBackends([backend], (urls) => {
      const sql = new Sql(urls[backend]);
      afterAll(() => sql.close());
      /** The bytes that the server understands, in hex. */
      const understood = async (values: readonly string[]): Promise<string[]> => {
        const rows = await sql.rows<{ hexes: string[] }>(`SELECT arrayMap(v -> lower(hex(v)), [${values.map(text).join(', ')}]) AS hexes`);
        return rows[0]?.hexes ?? [];
      };
      const bytes = (value: string) => Buffer.from(value).toString('hex');

      it('means hostile text as it is', async () => {
        const values = [...HOSTILE, '', 'nul\0', noise('漢', 20_000)];
        expect(await understood(values)).toEqual(values.map(bytes));
      });

      it('means any text as it is', async () => {
        const anyText = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: fc.constantFrom(...`'"\\\`{}:;-/*%?#x0n \n\0`) }));
        await fc.assert(
          fc.asyncProperty(fc.array(anyText, { minLength: 1, maxLength: 50 }), async (values) => {
            expect(await understood(values)).toEqual(values.map(bytes));
          }),
          { numRuns: 40 },
        );
      });

      it('names any database', async () => {
        const name = 'offline `odd` \\ name';
        await sql.run(`DROP DATABASE IF EXISTS ${identifier(name)};\nCREATE DATABASE ${identifier(name)}`);
        expect(await sql.rows(`SELECT name FROM system.databases WHERE name = ${text(name)}`)).toEqual([{ name }]);
        await sql.run(`DROP DATABASE ${identifier(name)}`);
      });
    });
  });
});
