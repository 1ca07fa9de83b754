import { Binary, MongoClient, type Db, type Document } from 'mongodb';
import { RefusedError } from '../../src/base/errors';
import type { Message } from '../../src/mqtt/message';
import type { Store } from '../../src/stores/store';
import { MongoStandin } from '../standin/mongodb/server';
import { withBackends } from '../support/backends';
import { message } from '../support/messages';
import { emptyMongo, mongoStore } from '../support/mongo';
import { expectPlannedTakeover } from './planned-takeover';
import { purgeOld } from './purge-old';

const at = (text: string) => new Date(`${text}Z`);
const SAME = '00054981D19EB000F44000000A1F0001';

/** What EMQX's own MongoDB backend leaves, with everything that has been seen in it. */
const OLD: Readonly<Record<string, Document[]>> = {
  mqtt_msg: [
    { _id: 1, msgid: SAME, sender: 'old', topic: 't/old', qos: 1, retain: false, payload: 'first', arrived: at('2017-03-01T10:00:00') },
    { _id: 2, msgid: SAME, sender: 'old', topic: 't/old', qos: 1, retain: false, payload: 'first', arrived: at('2017-03-01T10:00:05') },
    {
      _id: 3,
      msgid: SAME,
      sender: 'old',
      topic: 't/old',
      qos: 1,
      retain: false,
      payload: 'not the first',
      arrived: at('2017-03-01T10:00:06'),
    },
    { _id: 4, sender: 'old', topic: 't/old', qos: 2, retain: 1, payload: 'no id', arrived: 1_488_362_407 },
    { _id: 5, msgid: '', sender: 'old', topic: 't/old', qos: 0, payload: 'empty id', arrived: 1_488_362_408_000 },
    {
      _id: 6,
      msgid: 'with:colon',
      sender: 'old',
      topic: 't/old',
      qos: 1,
      retain: 0,
      payload: 'strange id',
      arrived: at('2017-03-01T10:00:09'),
    },
    { _id: 7, msgid: '7xKq2', topic: 't/bare', payload: null },
    { _id: 8, msgid: 'binary', topic: 't/bare', qos: -1, payload: new Binary(Buffer.from([0xff, 0])), arrived: null },
    { _id: 9, msgid: 'base62A', sender: 'old', topic: 't/acked', qos: 1, payload: 'one', arrived: at('2018-01-01T00:00:00') },
    { _id: 10, msgid: 'base62B', sender: 'old', topic: 't/acked', qos: 1, payload: 'two', arrived: at('2018-01-01T00:00:01') },
    { _id: 11, msgid: 'base62C', sender: 'old', topic: 't/acked', qos: 1, payload: 'three', arrived: at('2018-01-01T00:00:02') },
    { _id: 12, msgid: 'lost', payload: 'of no topic' },
  ],
  mqtt_client: [
    { clientid: 'here', state: 0, node: 'emqx@a', online_at: 1_577_836_800, offline_at: 1_577_836_800 },
    { clientid: 'here', state: 1, node: 'emqx@a', online_at: at('2020-01-01T00:00:02'), offline_at: at('2020-01-01T00:00:01') },
    { clientid: 'gone', state: 0, node: 'emqx@a', online_at: 1_577_836_801, offline_at: 1_577_836_802 },
    { clientid: 'bare' },
    { clientid: null, state: 1 },
    { clientid: null, state: 0 },
  ],
  mqtt_sub: [
    { clientid: 'here', topic: 't/#', qos: 1 },
    { clientid: 'here', topic: 'T/+', qos: -1 },
    { clientid: 'here', topic: 'a', qos: 0 },
    { clientid: 'here', topic: 'a', qos: 9 },
    { clientid: 'gone', topic: 't/1' },
  ],
  mqtt_retain: [
    { topic: 'r/1', msgid: 'AAA', sender: 'old', qos: 1, payload: 'old', arrived: at('2018-01-01T00:00:00') },
    { topic: 'r/1', msgid: 'AAA', sender: 'old', qos: 1, payload: 'kept', arrived: at('2019-01-01T00:00:00') },
    { topic: 'r/2', payload: 'no id', arrived: at('2019-01-01T00:00:00') },
  ],
  mqtt_acked: [
    { clientid: 'reader', topic: 't/acked', mongo_id: 9 },
    { clientid: 'reader', topic: 't/acked', mongo_id: 10 },
    { clientid: 'late', topic: 't/acked', mongo_id: 99 },
    { clientid: 'early', topic: 't/acked', mongo_id: 4 },
    { clientid: 'bare', topic: 't/acked' },
  ],
};

describe('mongodb takeover', () => {
  withBackends(['mongodb'], ({ mongodb }) => takeover('on the real server', async (name) => emptyMongo(mongodb, name)));

  let standin: Promise<MongoStandin> | null = null;
  afterAll(async () => (await standin)?.close());
  takeover('on the stand-in', async (name) => (await (standin ??= MongoStandin.start())).url(name));

  // What the real server answers "not implemented" to.
  it.each([
    ['a view', { create: 'mqtt_msg', viewOn: 'x', pipeline: [] }, /mqtt_msg is a view/],
    ['a capped collection', { create: 'mqtt_msg', capped: true }, /mqtt_msg is capped/],
  ])('is refused for %s', async (name, create, reason) => {
    const url = (await (standin ??= MongoStandin.start())).url(name.replace(/ /g, '_'));
    await inDatabase(url, async (db) => void (await db.command(create)));
    const store = mongoStore(url);
    await expect(store.migrate()).rejects.toThrow(reason);
    await store.close();
  });
});

async function inDatabase(url: string, work: (db: Db) => Promise<void>): Promise<void> {
  const client = new MongoClient(url, { serverSelectionTimeoutMS: 5_000, socketTimeoutMS: 20_000 });
  try {
    await work(client.db());
  } finally {
    await client.close();
  }
}

function takeover(title: string, emptyDatabase: (name: string) => Promise<string>): void {
  describe(title, () => {
    const stores: Store[] = [];
    const open = (url: string): Store => {
      const store = mongoStore(url);
      stores.push(store);
      return store;
    };
    afterAll(() => Promise.all(stores.map((store) => store.close())));
    const list = (store: Store, topic: string): Promise<Message[]> => store.listMessages({ topic, after: '', limit: 100, now: Date.now() });

    it('is planned by a dry run without changes, and logs its progress', async () => {
      const url = await emptyDatabase('offline_planned');
      await inDatabase(url, async (db) => {
        for (const [name, documents] of Object.entries(OLD)) await db.collection(name).insertMany(documents.map((each) => ({ ...each })));
      });
      // A retained message without a topic is left as it is.
      await expectPlannedTakeover(open(url), Object.fromEntries(Object.entries(OLD).map(([name, { length }]) => [name, length])));
    });

    describe("of a database with documents of EMQX's plugin", () => {
      let store: Store;
      let url: string;
      beforeAll(async () => {
        url = await emptyDatabase('offline_takeover');
        await inDatabase(url, async (db) => {
          for (const [name, documents] of Object.entries(OLD)) await db.collection(name).insertMany(documents.map((each) => ({ ...each })));
          await db.collection('mqtt_msg').createIndex({ msgid: 1 }, { name: 'of_the_operator' });
        });
        store = open(url);
        await Promise.all([store.migrate(), open(url).migrate()]);
        await store.migrate();
      });

      it('is healthy', async () => {
        expect(await store.health()).toMatchObject({ ok: true });
      });

      it('lists each old message once, in order', async () => {
        const old = await list(store, 't/old');
        expect(old.map(({ payload }) => payload.toString())).toEqual(['first', 'not the first', 'no id', 'empty id', 'strange id']);
        expect(new Set(old.map(({ id }) => id)).size).toBe(5);
        for (const { id } of old) expect(id).toMatch(/^[0-9A-Za-z_-]{1,64}$/);
        expect(old[0]).toEqual({
          ...{ id: SAME, topic: 't/old', clientid: 'old', username: null, qos: 1, retain: false, payload: Buffer.from('first') },
          ...{ expiresAt: null, properties: {}, publishReceivedAt: at('2017-03-01T10:00:00').getTime() },
        });
        expect(old[2]).toMatchObject({ qos: 2, retain: true, publishReceivedAt: 1_488_362_407_000 });
        expect(old[3]).toMatchObject({ publishReceivedAt: 1_488_362_408_000 });
        expect(await store.listTopics({ filter: '#', after: '', limit: 10 })).toEqual(['t/acked', 't/bare', 't/old']);
        expect(await store.countMessages()).toBe(11);
      });

      it('keeps the original of every changed id', async () => {
        await inDatabase(url, async (db) => {
          const changed = await db
            .collection('mqtt_msg')
            .find({ msgid_before: { $gt: '' } }, { sort: { payload: 1 } })
            .toArray();
          expect(changed.map(({ payload, msgid_before }) => [payload as string, msgid_before as string])).toEqual([
            ['not the first', SAME],
            ['strange id', 'with:colon'],
          ]);
          expect(await db.collection('mqtt_msg').find({ payload: 'of no topic' }).toArray()).toHaveLength(1);
        });
      });

      it('reads documents with missing fields and with bytes', async () => {
        expect(await list(store, 't/bare')).toEqual([
          expect.objectContaining({ id: '7xKq2', clientid: '', qos: 0, retain: false, payload: Buffer.alloc(0), publishReceivedAt: 0 }),
          expect.objectContaining({ id: 'binary', qos: 0, payload: Buffer.from([0xff, 0]), publishReceivedAt: 0 }),
        ]);
      });

      it('can remove an old message', async () => {
        const [first] = await list(store, 't/old');
        expect(await store.removeMessages([first!], Date.now() + 60_000)).toBe(1);
        expect(await list(store, 't/old')).toHaveLength(4);
      });

      it('reads the states of old clients', async () => {
        const [late, early] = [at('2020-01-01T00:00:02').getTime(), at('2020-01-01T00:00:01').getTime()];
        expect(await store.getClientState('here')).toEqual({
          clientid: 'here',
          connected: true,
          node: 'emqx@a',
          connectedAt: late,
          disconnectedAt: early,
          at: late,
        });
        expect(await store.getClientState('gone')).toMatchObject({ connected: false, connectedAt: early, disconnectedAt: late, at: late });
        expect(await store.getClientState('bare')).toMatchObject({ connected: false, node: null, connectedAt: null, at: 0 });
        // An event older than what EMQX wrote changes nothing.
        await store.saveClientStates([
          { clientid: 'here', connected: false, node: 'x', connectedAt: null, disconnectedAt: early, at: early },
        ]);
        expect(await store.getClientState('here')).toMatchObject({ connected: true });
      });

      it('clamps the QoS of old subscriptions, and leaves the last of two', async () => {
        await purgeOld(store);
        expect(await store.listSubscriptions('here')).toEqual([
          { clientid: 'here', topic: 'T/+', qos: 0 },
          { clientid: 'here', topic: 'a', qos: 2 },
          { clientid: 'here', topic: 't/#', qos: 1 },
        ]);
        expect(await store.listSubscriptions('gone')).toEqual([{ clientid: 'gone', topic: 't/1', qos: 0 }]);
      });

      it('keeps old retained messages until newer ones replace them', async () => {
        const retained = await store.listRetained({ filter: 'r/#', after: '', limit: 10 });
        expect(retained.map(({ topic, payload }) => [topic, payload.toString()])).toEqual([
          ['r/1', 'kept'],
          ['r/2', 'no id'],
        ]);
        for (const { id } of retained) expect(id).toMatch(/^[0-9A-Za-z_-]{1,64}$/);
        await store.putRetained([message({ topic: 'r/2', retain: true, payload: Buffer.from('new') })]);
        expect((await store.listRetained({ filter: 'r/2', after: '', limit: 10 })).map(({ payload }) => payload.toString())).toEqual([
          'new',
        ]);
      });

      it('continues from the old read positions', async () => {
        const position = async (consumer: string) => (await store.getPositions(consumer, ['t/acked']))[0]?.id;
        expect(await position('reader')).toBe('base62B');
        expect(await position('late')).toBe('base62C');
        expect(await position('early')).toBeUndefined();
        expect(await store.listPositions('bare', '', 10)).toEqual([]);
        expect((await store.positionsOfTopic('t/acked')).map(({ consumer }) => consumer).sort()).toEqual(['late', 'reader']);
      });

      it("keeps the columns that EMQX's readers select", async () => {
        const binary = message({ topic: 't/new', payload: Buffer.from([0xff, 0]) });
        const text = message({ topic: 't/new', payload: Buffer.from('\ufefftext \ufffd'), qos: 2, retain: true });
        await store.saveMessages([binary, text]);
        await inDatabase(url, async (db) => {
          const found = await db
            .collection('mqtt_msg')
            .find({ topic: 't/new' }, { sort: { msgid: 1 } })
            .toArray();
          expect(found).toEqual([
            expect.objectContaining({
              msgid: binary.id,
              sender: 'publisher',
              qos: 1,
              retain: false,
              payload: expect.any(Binary) as Binary,
              arrived: expect.any(Date) as Date,
            }),
            expect.objectContaining({ msgid: text.id, sender: 'publisher', qos: 2, retain: true, payload: '\ufefftext \ufffd' }),
          ]);
        });
        expect((await list(store, 't/new')).map(({ payload }) => payload)).toEqual([binary.payload, text.payload]);
        await store.putPositions([{ consumer: 'reader', topic: 't/acked', id: 'base62C', receipts: [] }]);
        await inDatabase(url, async (db) => {
          expect(await db.collection('mqtt_acked').find({ clientid: 'reader' }).toArray()).toEqual([
            expect.objectContaining({ mongo_id: 11 }),
          ]);
        });
      });
    });

    describe('is rejected with a reason and without changes', () => {
      it.each<[string, string, Document[], RegExp]>([
        [
          'another collection of this name',
          'mqtt_msg',
          [{ topic: 't' }, { body: 1 }],
          /mqtt_msg has a document without topic, msgid, payload/,
        ],
        ['a payload that is no text', 'mqtt_msg', [{ topic: 't', payload: { a: 1 } }], /mqtt_msg.payload is not string or binData/],
        ['a topic that is a list', 'mqtt_msg', [{ topic: ['t'] }], /mqtt_msg.topic is not string/],
        ['a QoS as text', 'mqtt_sub', [{ clientid: 'c', topic: 't', qos: '1' }], /mqtt_sub.qos is not/],
        ['another collection among the others', 'mqtt_acked', [{ x: 1 }], /mqtt_acked has a document without clientid, topic, mongo_id/],
      ])('%s', async (name, collection, documents, reason) => {
        const url = await emptyDatabase(`offline_refused_${name.replace(/ /g, '_')}`);
        const state = async (): Promise<unknown> => {
          let found: unknown;
          await inDatabase(url, async (db) => {
            const names = (await db.listCollections().toArray()).map((each) => each.name);
            found = [names, await Promise.all(names.map((each) => db.collection(each).find().toArray()))];
          });
          return found;
        };
        await inDatabase(url, async (db) => {
          await db.collection('mqtt_client').insertOne({ clientid: 'untouched' });
          await db.collection(collection).insertMany(documents.map((each) => ({ ...each })));
        });
        const before = await state();
        const store = open(url);
        const failure = await store.migrate().then(
          () => null,
          (error: unknown) => error,
        );
        expect(failure).toBeInstanceOf(RefusedError);
        expect((failure as Error).message).toMatch(reason);
        expect(await state()).toEqual(before);
        expect(await store.health()).toEqual({
          ok: false,
          detail: expect.stringMatching(/STORE_URL: .*run "emqx-offline-store migrate"/) as string,
        });
      });

      it('a schema of a newer release', async () => {
        const url = await emptyDatabase('offline_newer');
        const store = open(url);
        await store.migrate();
        await inDatabase(url, async (db) => void (await db.collection<{ _id: number }>('mqtt_offline_migration').insertOne({ _id: 999 })));
        await expect(store.migrate()).rejects.toThrow(/version 999.*upgrade/);
        expect(await store.health()).toEqual({ ok: false, detail: expect.stringMatching(/version 999.*upgrade/) as string });
      });
    });
  });
}
