import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client, type Settings } from '../../src/stores/clickhouse/client';
import type { Store } from '../../src/stores/store';
import { backendUrl, withBackends } from '../support/backends';
import { CLICKHOUSES, emptyClickHouse, openClickHouse, Sql } from '../support/clickhouse';
import { message } from '../support/messages';

const ROWS = 100_000;
const NOW = 1_800_000_000_000;
const ID = `concat('00000000000000000000000000', substring(toString(1000000 + number), 2))`;

/** Half of the rows are of one topic; what is oldest there has been removed. In several parts, as inserts leave them. */
const FILL = Array.from({ length: 8 }, (_, part) => {
  const numbers = `(SELECT number * 8 + ${part} AS number FROM system.numbers LIMIT ${ROWS / 8})`;
  const topic = `if(number >= ${ROWS * 0.5}, 'big', concat('dev/', toString(number % 1000)))`;
  return [
    `INSERT INTO mqtt_msg (msgid, sender, topic, qos, retain, payload, arrived, published_ms, stored_at)
       SELECT ${ID}, 'p', ${topic}, 1, 0, 'x', 1, number, 1000 + number FROM ${numbers}`,
    `INSERT INTO mqtt_removed (topic, msgid, removed_at, until)
       SELECT 'big', ${ID}, 2000000, 0 FROM ${numbers} WHERE number >= ${ROWS * 0.5} AND number < ${ROWS * 0.5 + 200}`,
    `INSERT INTO mqtt_acked (clientid, topic, msgid, receipts, deleted, version) SELECT 'consumer', concat('t/', toString(number)), 'A', [], 0, 1 FROM ${numbers}`,
    `INSERT INTO mqtt_retain (topic, msgid, payload, arrived, deleted, version) SELECT concat('r/', toString(number)), 'A', 'x', 1, 0, 1 FROM ${numbers}`,
  ];
}).flat();

describe.each(CLICKHOUSES)('%s cost', (backend, name) => {
  withBackends([backend], () => {
    const server = backendUrl(backend) ?? '';
    let store: Store;
    let sql: Sql;
    beforeAll(async () => {
      const url = await emptyClickHouse(server, 'offline_cost');
      store = openClickHouse(url);
      await store.migrate();
      sql = new Sql(url);
      await sql.run(FILL.join(';\n'));
    }, 120_000);
    afterAll(() => Promise.all([sql.close(), store.close()]));

    const statements = async (work: () => Promise<unknown>): Promise<{ queries: [string, Settings | undefined][]; inserts: number }> => {
      const spies = [jest.spyOn(Client.prototype, 'rows'), jest.spyOn(Client.prototype, 'insert')] as const;
      await work();
      const queries = spies[0].mock.calls.map(([query, settings]): [string, Settings | undefined] => [query, settings]);
      const inserts = spies[1].mock.calls.filter(([, values]) => values.length > 0).length;
      for (const spy of spies) spy.mockRestore();
      return { queries, inserts };
    };
    /** As the server counts them, of the columns that name a message; a page of payloads is one more read of as many. */
    const rowsRead = async (work: () => Promise<unknown>, more: Settings = {}): Promise<number> => {
      let read = 0;
      for (const [query, settings] of (await statements(work)).queries) read += await sql.read(query, { ...settings, ...more });
      return read;
    };

    const page = { after: '', limit: 100 };
    const refs = Array.from({ length: 50 }, (_, i) => ({ topic: 'big', id: String(70_000 + i).padStart(32, '0') }));
    it.each<[string, number, (of: Store) => Promise<unknown>]>([
      [
        '100 messages of a topic of 50,000, behind 200 that are removed',
        20_000,
        (of) => of.listMessages({ ...page, topic: 'big', now: NOW }),
      ],
      ['100 messages in the middle', 10_000, (of) => of.listMessages({ ...page, topic: 'big', after: refs[0]?.id ?? '', now: NOW })],
      ['messages of a topic of 50', 5_000, (of) => of.listMessages({ ...page, topic: 'dev/7', now: NOW })],
      ['the sizes of topics of 50 and 0', 20_000, (of) => of.topicCounts(['dev/7', 'dev/8', 'none'], NOW)],
      // A topic of that many rows is counted by its rows, then its first message is looked for.
      ['the size of a topic of 50,000', 80_000, (of) => of.topicCounts(['big'], NOW)],
      ['messages of a topic without any', 3_000, (of) => of.listMessages({ ...page, topic: 'none', now: NOW })],
      ['one topic of 50,000 messages, behind 200 that are removed', 20_000, (of) => of.listTopics({ ...page, filter: 'big' })],
      ['50 to remove', 3_000, (of) => of.removeMessages(refs, 2 * NOW)],
      ['a retained message', 3_000, (of) => of.listRetained({ ...page, filter: 'r/777' })],
      ['50 of 100,000 positions', 5_000, (of) => of.listPositions('consumer', 't/5', 50)],
    ])(`${name}: %s, at most %i rows`, async (_, most, call) => {
      const read = await rowsRead(() => call(store));
      expect(read).toBeLessThanOrEqual(most);
    });

    it('a message by its id: many rows, fewer with the index that the documentation names', async () => {
      // What a query found before is remembered by new servers.
      const settings: Settings = backend === 'clickhouse' ? {} : { use_query_condition_cache: 0 };
      const get = () => rowsRead(() => store.getMessage(String(1_000).padStart(32, '0')), settings);
      expect(await get()).toBeGreaterThan(ROWS / 4);
      if (backend === 'clickhouse') return;
      const documentation = readFileSync(join(__dirname, '../../docs/databases/clickhouse.md'), 'utf8');
      await sql.run(/`(ALTER TABLE mqtt_msg ADD INDEX[^`]*)`/.exec(documentation)?.[1] ?? '');
      await sql.run('ALTER TABLE mqtt_msg MATERIALIZE INDEX by_msgid');
      expect(await get()).toBeLessThan(ROWS / 10);
    });

    it('saving takes one insert for 16 messages and for 256, in one topic and in as many', async () => {
      const save = (n: number, topic: (i: number) => string) =>
        statements(() => store.saveMessages(Array.from({ length: n }, (_, i) => message({ topic: topic(i) }))));
      for (const n of [16, 256]) {
        for (const topic of [() => 'one', (i: number) => `many/${i}`]) {
          const { queries, inserts } = await save(n, topic);
          expect([n, queries.length, inserts]).toEqual([n, 0, 1]);
        }
      }
    });

    it('removing takes one query and one insert, whether the messages are stored or not', async () => {
      const batch = Array.from({ length: 256 }, (_, i) => message({ topic: `away/${i}` }));
      const remove = async () => {
        const { queries, inserts } = await statements(() => store.removeMessages(batch, NOW));
        return [queries.length, inserts];
      };
      await store.saveMessages(batch);
      expect(await remove()).toEqual([1, 1]);
      expect(await remove()).toEqual([1, 1]);
    });
  });
});
