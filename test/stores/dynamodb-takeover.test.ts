import type { AttributeValue, CreateTableCommandInput } from '@aws-sdk/client-dynamodb';
import { RefusedError, RetryableError } from '../../src/base/errors';
import type { Message } from '../../src/mqtt/message';
import type { Store } from '../../src/stores/store';
import { withBackends } from '../support/backends';
import { message } from '../support/messages';
import { conformance } from './conformance';
import { Front } from './dynamodb-front';
import { TestTables } from './dynamodb-tables';
import { expectPlannedTakeover } from './planned-takeover';
import { purgeOld } from './purge-old';

type Item = Record<string, AttributeValue>;
const S = (text: string): AttributeValue => ({ S: text });
const N = (number: number): AttributeValue => ({ N: String(number) });

/** A table as EMQX's documentation has it: name, partition key, sort key. */
const table = (name: string, ...keys: string[]): CreateTableCommandInput => ({
  TableName: name,
  KeySchema: keys.map((key, i) => ({ AttributeName: key, KeyType: i === 0 ? 'HASH' : 'RANGE' })),
  AttributeDefinitions: keys.map((key) => ({ AttributeName: key, AttributeType: 'S' })),
  ProvisionedThroughput: { ReadCapacityUnits: 5, WriteCapacityUnits: 5 },
});
const ORIGINAL = [
  ...[table('mqtt_client', 'clientid'), table('mqtt_sub', 'clientid', 'topic'), table('mqtt_msg', 'msgid')],
  ...[table('mqtt_topic_msg_map', 'topic'), table('mqtt_retain', 'topic'), table('mqtt_acked', 'topic', 'clientid')],
];

const FIRST = 'Mjg4MTk1MDYwNTk0NjYwNzYzMTg4MDk3OTQ2MDU2Nzg1OTD';
const msg = (id: string, seconds: number, fields: Item = {}): Item => ({
  ...{ msgid: S(id), topic: S('t/old'), sender: S('old'), qos: N(1), retain: N(0), payload: S(id), arrived: N(seconds) },
  ...fields,
});
const map = (topic: string, ...ids: string[]): Item => ({ topic: S(topic), MsgId: { SS: ids } });

/** What they hold, with what may be in them. */
const ITEMS: Record<string, Item[]> = {
  mqtt_msg: [
    msg(FIRST, 1_562_308_553, { payload: S('{ "msg": "Hello, World!" }') }),
    msg('7xKq3', 1_562_308_555, { qos: N(2), retain: N(1), payload: { B: Buffer.from([0xff, 0]) } }),
    msg('with:colon', 1_562_308_554),
    { msgid: S('7xKq2'), topic: S('t/bare') },
    msg('odd', 1, { topic: S('t/bare'), qos: N(-1), retain: { BOOL: true }, payload: N(5) }),
    { msgid: S('mapped'), payload: S('only the map knows the topic') },
    { msgid: S('lost'), payload: S('of no topic') },
  ],
  mqtt_topic_msg_map: [
    map('t/old', FIRST, '7xKq3', 'with:colon', 'removed'),
    map('t/mapped', 'mapped'),
    map('t/wrong', '7xKq3'),
    map('t/gone', 'removed'),
  ],
  mqtt_client: [
    { clientid: S('here'), connect_state: N(1), node: S('emqx@a'), online_at: N(1_562_224_940), offline_at: N(0) },
    { clientid: S('gone'), connect_state: N(0), node: S('emqx@a'), online_at: N(1_562_224_940), offline_at: N(1_562_224_950) },
    { clientid: S('bare') },
  ],
  mqtt_sub: [
    { clientid: S('here'), topic: S('t/#'), qos: N(1) },
    { clientid: S('here'), topic: S('T/+'), qos: N(-1) },
    { clientid: S('here'), topic: S('a'), qos: N(9) },
    { clientid: S('gone'), topic: S('t/1') },
  ],
  mqtt_retain: [
    { ...msg('AAA', 1_562_312_113, { topic: S('r/1'), retain: N(1), payload: S('kept') }) },
    { topic: S('r/2'), payload: S('no id'), arrived: N(1_562_312_113) },
  ],
  mqtt_acked: [
    { topic: S('t/old'), clientid: S('reader'), msgid: S('7xKq3') },
    { topic: S('t/bare'), clientid: S('reader'), msgid: S('7xKq2') },
    { topic: S('t/old'), clientid: S('bare') },
  ],
};

describe('dynamodb takeover', () => {
  withBackends(['dynamodb'], ({ dynamodb: server }) => {
    const all: TestTables[] = [];
    const stores: Store[] = [];
    const prepare = async (inputs: readonly CreateTableCommandInput[], items: Record<string, Item[]> = {}): Promise<TestTables> => {
      const tables = new TestTables(server, `takeover_${process.pid}_${all.length}_`);
      all.push(tables);
      for (const input of inputs) await tables.db.createTable({ ...input, TableName: `${tables.prefix}${input.TableName}` });
      for (const [name, each] of Object.entries(items)) await tables.put(name, ...each);
      return tables;
    };
    const open = (tables: TestTables): Store => {
      const store = tables.open();
      stores.push(store);
      return store;
    };
    afterAll(async () => {
      await Promise.all(stores.map((store) => store.close()));
      for (const tables of all) await tables.drop();
    });
    const list = (store: Store, topic: string): Promise<Message[]> => store.listMessages({ topic, after: '', limit: 100, now: Date.now() });

    describe("of tables with items of EMQX's plugin", () => {
      let tables: TestTables;
      let store: Store;
      beforeAll(async () => {
        tables = await prepare(ORIGINAL, ITEMS);
        store = open(tables);
        await Promise.all([store.migrate(), open(tables).migrate()]);
        await store.migrate();
      });

      it('is healthy', async () => {
        expect(await store.health()).toEqual({ ok: true, detail: 'DynamoDB us-east-1, schema 13' });
      });

      it('lists each old message once, in the order of its id', async () => {
        const old = await list(store, 't/old');
        expect(old.map(({ payload }) => payload.toString('latin1'))).toEqual(['with:colon', '\xff\0', '{ "msg": "Hello, World!" }']);
        for (const { id } of old) expect(id).toMatch(/^[0-9A-Za-z_-]{1,64}$/);
        expect(old[2]).toEqual({
          ...{
            id: FIRST,
            topic: 't/old',
            clientid: 'old',
            username: null,
            qos: 1,
            retain: false,
            payload: Buffer.from('{ "msg": "Hello, World!" }'),
          },
          ...{ publishReceivedAt: 1_562_308_553_000, expiresAt: null, properties: {} },
        });
        expect(old[1]).toMatchObject({ qos: 2, retain: true });
        expect(await store.listTopics({ filter: '#', after: '', limit: 10 })).toEqual(['t/bare', 't/mapped', 't/old']);
        expect(await store.countMessages()).toBe(6);
      });

      it('keeps the original of every changed id', async () => {
        const changed = (await tables.items('mqtt_msg')).filter(({ msgid_before }) => msgid_before !== undefined);
        expect(changed).toEqual([
          {
            ...msg('with:colon', 1_562_308_554),
            msgid: { S: expect.stringMatching(/^00058CE9[0-9A-F]{24}$/) as string },
            msgid_before: S('with:colon'),
          },
        ]);
      });

      it('reads items with missing attributes', async () => {
        expect(await list(store, 't/bare')).toEqual([
          expect.objectContaining({ id: '7xKq2', clientid: '', qos: 0, retain: false, payload: Buffer.alloc(0), publishReceivedAt: 0 }),
          expect.objectContaining({ id: 'odd', qos: 0, retain: true, payload: Buffer.from('5') }),
        ]);
        expect((await list(store, 't/mapped')).map(({ id }) => id)).toEqual(['mapped']);
      });

      it('can remove an old message', async () => {
        const [first] = await list(store, 't/mapped');
        expect(await store.removeMessages([first!], Date.now() + 60_000)).toBe(1);
        expect(await store.listTopics({ filter: 't/mapped', after: '', limit: 10 })).toEqual([]);
        expect(await store.saveMessages([message({ id: 'lost', topic: 't/lost' })])).toEqual([]);
        expect(await store.removeMessages([{ id: 'lost', topic: 't/lost' }], Date.now() + 60_000)).toBe(1);
        expect(await store.listTopics({ filter: 't/lost', after: '', limit: 10 })).toEqual([]);
      });

      it('reads the states of old clients', async () => {
        const at = 1_562_224_940_000;
        expect(await store.getClientState('here')).toEqual({
          clientid: 'here',
          connected: true,
          node: 'emqx@a',
          connectedAt: at,
          disconnectedAt: null,
          at,
        });
        expect(await store.getClientState('gone')).toMatchObject({ connected: false, disconnectedAt: at + 10_000, at: at + 10_000 });
        expect(await store.getClientState('bare')).toMatchObject({ connected: false, node: null, connectedAt: null, at: 0 });
        // An event older than what EMQX wrote changes nothing.
        await store.saveClientStates([
          { clientid: 'here', connected: false, node: 'x', connectedAt: null, disconnectedAt: at - 1, at: at - 1 },
        ]);
        expect(await store.getClientState('here')).toMatchObject({ connected: true });
      });

      it('clamps the QoS of old subscriptions', async () => {
        await purgeOld(store);
        expect((await store.listSubscriptions('here')).map(({ topic, qos }) => [topic, qos])).toEqual([
          ['T/+', 0],
          ['a', 2],
          ['t/#', 1],
        ]);
        expect(await store.listSubscriptions('gone')).toEqual([{ clientid: 'gone', topic: 't/1', qos: 0 }]);
      });

      it('keeps old retained messages until newer ones replace them', async () => {
        const retained = await store.listRetained({ filter: 'r/#', after: '', limit: 10 });
        expect(retained.map(({ topic, payload }) => [topic, payload.toString()])).toEqual([
          ['r/1', 'kept'],
          ['r/2', 'no id'],
        ]);
        for (const { id, retain } of retained) expect([id, retain]).toEqual([expect.stringMatching(/^[0-9A-Za-z_-]{1,64}$/), true]);
        await store.putRetained([message({ topic: 'r/2', retain: true, payload: Buffer.from('new') })]);
        expect((await store.listRetained({ filter: 'r/2', after: '', limit: 10 })).map(({ payload }) => payload.toString())).toEqual([
          'new',
        ]);
      });

      it('continues from the old read positions', async () => {
        const position = (topic: string, id: string) => ({ consumer: 'reader', topic, id, receipts: [] });
        expect(await store.listPositions('reader', '', 10)).toEqual([position('t/bare', '7xKq2'), position('t/old', '7xKq3')]);
        expect(await store.positionsOfTopic('t/old')).toEqual([position('t/old', '7xKq3')]);
        expect(await store.listPositions('bare', '', 10)).toEqual([]);
      });

      it("keeps the attributes that readers of EMQX's tables expect", async () => {
        const saved = message({ topic: 't/new', payload: Buffer.from('text'), qos: 2, retain: true, publishReceivedAt: 1_562_308_553_999 });
        await store.saveMessages([saved]);
        await store.saveClientStates([
          { clientid: 'new', connected: true, node: 'emqx@b', connectedAt: 1_999, disconnectedAt: null, at: 1_999 },
        ]);
        const [item] = (await tables.items('mqtt_msg')).filter(({ msgid }) => msgid?.S === saved.id);
        expect(item).toMatchObject(
          msg(saved.id, 1_562_308_553, { topic: S('t/new'), sender: S('publisher'), qos: N(2), retain: N(1), payload: S('text') }),
        );
        const [client] = (await tables.items('mqtt_client')).filter(({ clientid }) => clientid?.S === 'new');
        expect(client).toMatchObject({ connect_state: N(1), node: S('emqx@b'), online_at: N(1) });
        expect(await tables.items('mqtt_topic_msg_map')).toHaveLength(4);
      });
    });

    describe('is rejected with a reason and without changes', () => {
      const other = (name: string, ...keys: string[]) => [table(name, ...keys)];
      const number: CreateTableCommandInput = {
        ...table('mqtt_retain', 'topic'),
        AttributeDefinitions: [{ AttributeName: 'topic', AttributeType: 'N' }],
      };
      it.each<[string, CreateTableCommandInput[], RegExp]>([
        ['another key', other('mqtt_msg', 'id'), /mqtt_msg cannot be taken over: it has the key id \(S\), expected msgid \(S\)/],
        [
          'another sort key',
          other('mqtt_sub', 'clientid', 'filter'),
          /mqtt_sub .* the key clientid \(S\), filter \(S\), expected clientid \(S\), topic \(S\)/,
        ],
        ['keys the other way round', other('mqtt_acked', 'clientid', 'topic'), /mqtt_acked .* expected topic \(S\), clientid \(S\)/],
        ['a key of another type', [number], /mqtt_retain .* the key topic \(N\), expected topic \(S\)/],
        ['another map', other('mqtt_topic_msg_map', 'topic', 'msgid'), /mqtt_topic_msg_map .* expected topic \(S\)/],
        [
          'our table without its index',
          other('mqtt_topic_msg', 'topic_key', 'msgid'),
          /mqtt_topic_msg .* no index by_expiry on expiry_bucket, expires_at/,
        ],
      ])('%s', async (_, inputs, reason) => {
        const tables = await prepare(inputs);
        const store = open(tables);
        const before = await tables.names();
        const failure: unknown = await store.migrate().catch((error: unknown) => error);
        expect(failure).toBeInstanceOf(RefusedError);
        expect((failure as Error).message).toMatch(reason);
        expect((failure as Error).message).toMatch(/nothing was changed/);
        expect(await tables.names()).toEqual(before);
        expect(await store.health()).toEqual({
          ok: false,
          detail: expect.stringMatching(/STORE_URL: .*run "emqx-offline-store migrate"/) as string,
        });
      });

      it('a schema of a newer release', async () => {
        const tables = await prepare([]);
        const store = open(tables);
        await store.migrate();
        await tables.put('mqtt_offline_migration', { name: S('999_later.json'), version: N(999) });
        await expect(store.migrate()).rejects.toThrow(/version 999.*upgrade/);
        await expect(store.migrate()).rejects.toThrow(RefusedError);
        expect(await store.health()).toEqual({ ok: false, detail: expect.stringMatching(/version 999.*upgrade/) as string });
      });
    });

    it('is planned by a dry run without changes, and logs its progress', async () => {
      const store = open(await prepare(ORIGINAL, ITEMS));
      const rows = { mqtt_topic_msg_map: 4, mqtt_msg: 7, mqtt_retain: 2, mqtt_acked: 3, mqtt_client: 3 };
      await expectPlannedTakeover(store, rows);
    });

    it('reads a message twice that another server is just renaming', async () => {
      const renamed = await prepare([table('mqtt_msg', 'msgid')], { mqtt_msg: [msg('with:colon', 1_562_308_554)] });
      await open(renamed).migrate();
      // The other server has written the item with the new id and has not yet deleted the old one.
      await renamed.put('mqtt_msg', msg('with:colon', 1_562_308_554));
      const tables = await prepare([table('mqtt_msg', 'msgid')], { mqtt_msg: await renamed.items('mqtt_msg') });
      const store = open(tables);
      await store.migrate();
      expect((await list(store, 't/old')).map(({ payload }) => payload.toString())).toEqual(['with:colon']);
      expect(await tables.items('mqtt_msg')).toHaveLength(1);
    });

    // Without the transaction of rename() a message that was delivered and removed comes back, and without the tidying its entries do.
    it('is completed by another server, which removes everything, while this one stands still before any request', async () => {
      const tables = await prepare([]);
      const serving = open(tables);
      await serving.migrate();
      const empty = async () => {
        const emptied = (await tables.names()).map(async (name) => {
          const { Table } = await tables.db.describeTable({ TableName: name });
          const keys = (Table?.KeySchema ?? []).map(({ AttributeName = '' }) => AttributeName);
          for (const item of await tables.items(name.slice(tables.prefix.length)))
            await tables.db.deleteItem({ TableName: name, Key: Object.fromEntries(keys.map((key) => [key, item[key]!])) });
        });
        await Promise.all(emptied);
      };
      const front = await Front.to(tables.endpoint);
      for (let at = 0, reached = true; reached; at++) {
        reached = false;
        await empty();
        await tables.put('mqtt_msg', msg('with:colon', 1_562_308_554), msg('no:time', 0), msg('plain', 1_562_308_555));
        await tables.db.updateItem({
          TableName: `${tables.prefix}mqtt_msg`,
          Key: { msgid: S('no:time') },
          UpdateExpression: 'REMOVE arrived',
        });
        await tables.put('mqtt_retain', { topic: S('r'), payload: S('no id'), arrived: N(1_562_312_113) });
        await tables.put('mqtt_acked', { topic: S('t/old'), clientid: S('reader'), msgid: S('plain') });
        let requests = 0;
        front.answer = async (operation, input, forward) => {
          if (!operation.startsWith('Describe') && requests++ === at) {
            reached = true;
            await serving.migrate();
            const messages = await list(serving, 't/old');
            expect(messages.map(({ payload }) => payload.toString()).sort()).toEqual(['no:time', 'plain', 'with:colon']);
            await serving.removeMessages(messages, Date.now() + 60_000);
            await serving.deleteRetained([{ topic: 'r', id: 'F', publishReceivedAt: Date.now() }]);
            await serving.putPositions([{ consumer: 'reader', topic: 't/old', id: '', receipts: [] }]);
          }
          return forward(input);
        };
        const slow = tables.open({ endpoint: front.url });
        await slow.migrate();
        await slow.close();
        if (!reached) continue;
        for (const table of [
          'mqtt_msg',
          'mqtt_topic_msg',
          'mqtt_topic',
          'mqtt_retain',
          'mqtt_retain_topic',
          'mqtt_acked',
          'mqtt_acked_topic',
        ])
          expect([at, table, await tables.items(table)]).toEqual([at, table, []]);
      }
      await front.close();
    }, 120_000);

    it('continues after an interruption', async () => {
      const tables = await prepare([table('mqtt_msg', 'msgid')]);
      const ids = Array.from({ length: 2_500 }, (_, i) => `id${String(i).padStart(5, '0')}`);
      for (let i = 0; i < ids.length; i += 25) {
        const put = ids.slice(i, i + 25).map((id) => ({ PutRequest: { Item: msg(id, 1, { topic: S(`many/${id}`) }) } }));
        await tables.db.batchWriteItem({ RequestItems: { [`${tables.prefix}mqtt_msg`]: put } });
      }
      const front = await Front.to(tables.endpoint);
      let scans = 0;
      let away = true;
      front.answer = (operation, input, forward) => {
        if (operation !== 'Scan' || input.TableName !== `${tables.prefix}mqtt_msg`) return forward(input);
        return ++scans > 2 && away ? Promise.reject(new Error('away')) : forward(input);
      };
      const failing = tables.open({ endpoint: front.url });
      await expect(failing.migrate()).rejects.toThrow(RetryableError);
      expect((await failing.health()).ok).toBe(false);
      [away, scans] = [false, 0];
      await failing.migrate();
      await failing.close();
      await front.close();
      // Two pages of 1,000 are behind: nothing is read twice.
      expect(scans).toBe(1);
      const store = open(tables);
      expect(await store.countMessages()).toBe(ids.length);
      expect(await store.listTopics({ filter: 'many/+', after: '', limit: 3_000 })).toEqual(ids.map((id) => `many/${id}`));
    }, 60_000);

    it('needs one read and no right to create tables after it is complete', async () => {
      const tables = await prepare([]);
      await open(tables).migrate();
      const front = await Front.to(tables.endpoint);
      const store = tables.open({ endpoint: front.url });
      await store.migrate();
      expect(front.counts).toEqual({ Scan: 1 });
      await store.close();
      await front.close();
    });

    // The proof that nothing of the old tables is in the way.
    let filled: Promise<TestTables> | null = null;
    conformance('on tables that EMQX filled', { open: async () => (await (filled ??= prepare(ORIGINAL, ITEMS))).open(), many: 500 });
  });
});
