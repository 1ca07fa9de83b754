import { MongoClient } from 'mongodb';
import { RetryableError } from '../../src/base/errors';
import { PositionCollection } from '../../src/stores/mongodb/positions';
import { caFile, withBackends } from '../support/backends';
import { answeredHealth } from '../support/health';
import { message, newId } from '../support/messages';
import { emptyMongo, mongoStore } from '../support/mongo';
import { conformance } from './conformance';

describe('mongodb', () => {
  withBackends(['mongodb'], ({ mongodb: server }) => {
    let url: Promise<string> | null = null;
    const open = async () => mongoStore(await (url ??= emptyMongo(server, 'offline_conformance')));

    // The server that stands in for MongoDB reads a whole collection for every question, and writes what it has read without looking again.
    conformance('on MongoDB’s stand-in', { open, many: 500, changesInTwoSteps: true });

    // Promise 13.
    it.each([
      ['larger than 16 MB', { payload: Buffer.alloc(17_000_000, 1) }],
      ['much larger', { payload: Buffer.alloc(40_000_000, 1) }],
      // What FerretDB refuses, and MongoDB doesn't.
      ['a text with U+0000', { username: '\u0000' }],
    ])('rejects only a message that is %s', async (_, poison) => {
      const store = mongoStore(await emptyMongo(server, 'offline_refusals'));
      await store.migrate();
      const batch = Array.from({ length: 5 }, (_, i) => message({ topic: 'poisoned', ...(i === 3 && poison) }));
      const [refused] = batch.splice(3, 1);
      expect(await store.saveMessages([...batch.slice(0, 3), refused!, ...batch.slice(3)])).toEqual([
        { id: refused!.id, reason: expect.any(String) as string },
      ]);
      const stored = await store.listMessages({ topic: 'poisoned', after: '', limit: 100, now: Date.now() });
      expect(stored.map(({ id }) => id)).toEqual(batch.map(({ id }) => id));
      await store.close();
    });

    it('saves messages of 1 MB in several commands, and lists and removes them', async () => {
      const store = mongoStore(await emptyMongo(server, 'offline_large'));
      await store.migrate();
      const batch = Array.from({ length: 12 }, (_, i) => message({ topic: 'large', payload: Buffer.alloc(1_000_000, `${i % 10}`) }));
      expect(await store.saveMessages(batch)).toEqual([]);
      const listed = await store.listMessages({ topic: 'large', after: '', limit: 100, now: Date.now() });
      expect(listed.map(({ id, payload }) => [id, payload.equals(batch.find((each) => each.id === id)!.payload)])).toEqual(
        batch.map(({ id }) => [id, true]),
      );
      expect(await store.removeMessages(batch, Date.now() + 60_000)).toBe(12);
      await store.close();
    });

    // Callers take a short page for the last one. The purge of read messages would not know the readers behind it.
    it('fills a page of positions although one of them is deleted after its topic was listed', async () => {
      const store = mongoStore(await emptyMongo(server, 'offline_pages'));
      await store.migrate();
      const positions = ['a', 'b', 'c', 'd'].map((topic) => ({ consumer: 'x', topic, id: newId(), receipts: [] }));
      await store.putPositions(positions);
      const read = PositionCollection.prototype.getPositions;
      const spy = jest.spyOn(PositionCollection.prototype, 'getPositions').mockImplementationOnce(async function (
        this: PositionCollection,
        ...args
      ) {
        await store.putPositions([{ ...positions[0]!, id: '' }]);
        return read.apply(this, args);
      });
      expect((await store.listPositions('x', '', 2)).map(({ topic }) => topic)).toEqual(['b', 'c']);
      spy.mockRestore();
      await store.close();
    });

    it('reports a missing schema and what to do', async () => {
      const store = mongoStore(await emptyMongo(server, 'offline_empty'));
      expect(await answeredHealth(store)).toEqual({
        ok: false,
        detail: expect.stringMatching(/STORE_URL: .*version 0.*run "emqx-offline-store migrate"/) as string,
      });
      await store.close();
    });

    it.each([
      ['a host that is not there', (to: URL) => (to.port = '1'), /^STORE_URL: cannot connect to MongoDB .*check host and port$/],
      ['a login', (to: URL) => Object.assign(to, { username: 'user', password: 'hunter2' }), /^STORE_URL: MongoDB rejected the login/],
      ['TLS where there is none', (to: URL) => (to.search = 'tls=true'), /^STORE_URL: .*check .*tls=/],
      ['a replica set that it is not', (to: URL) => (to.search = 'replicaSet=rs'), /^STORE_URL: .*check .*replicaSet=/],
    ])('names the setting for %s, in time', async (_, change, expected) => {
      const wrong = new URL(server);
      change(wrong);
      const store = mongoStore(wrong.href);
      const { ok, detail } = await answeredHealth(store);
      expect(ok).toBe(false);
      expect(detail).toMatch(expected);
      expect(detail).not.toMatch(/hunter2|\n/);
      await store.close();
    });

    it('throws what can be tried again for a host that is not there', async () => {
      const store = mongoStore(`${Object.assign(new URL(server), { port: '1' }).href}?serverSelectionTimeoutMS=300`);
      await expect(store.getMessage(newId())).rejects.toThrow(RetryableError);
      await store.close();
    });

    it('keeps documents that applications can read', async () => {
      const store = await open();
      await store.migrate();
      const saved = message({
        topic: 'read/me',
        payload: Buffer.from('text'),
        properties: { userProperties: [{ key: '$where', value: 'a.b' }] },
      });
      await store.saveMessages([saved]);
      const client = new MongoClient(await url!);
      const found = await client.db().collection('mqtt_msg').findOne({ msgid: saved.id });
      expect(found).toMatchObject({ topic: 'read/me', topic_key: 'read/me', sender: 'publisher', qos: 1, retain: false, payload: 'text' });
      expect(found?.['arrived']).toEqual(new Date(saved.publishReceivedAt));
      await client.close();
      await store.close();
    });
  });

  withBackends(['mongodb-tls'], ({ 'mongodb-tls': server }) => {
    it("works with TLS and the operator's certificate authority", async () => {
      const url = new URL(server);
      url.searchParams.set('ca', caFile());
      const store = mongoStore(url.href);
      await store.migrate();
      const saved = message({ topic: `tls/${newId()}` });
      expect(await store.saveMessages([saved])).toEqual([]);
      expect(await store.listMessages({ topic: saved.topic, after: '', limit: 1, now: Date.now() })).toEqual([saved]);
      await store.close();
    });

    it.each([
      ['the certificate authority is missing', server, /^STORE_URL: no TLS connection to MongoDB .*check tls= and ca=$/],
      ['TLS is missing', server.replace('?tls=true', ''), /^STORE_URL: MongoDB closed the connection .*tls=true$/],
    ])('says that %s', async (_, url, expected) => {
      const store = mongoStore(url);
      const { ok, detail } = await answeredHealth(store);
      expect([ok, detail]).toEqual([false, expect.stringMatching(expected)]);
      await store.close();
    });
  });
});
