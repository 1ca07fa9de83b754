import type { Document } from 'mongodb';
import { RetryableError } from '../../src/base/errors';
import { CommandError } from '../standin/mongodb/collection';
import { MongoStandin } from '../standin/mongodb/server';
import { answeredHealth } from '../support/health';
import { message } from '../support/messages';
import { mongoStore } from '../support/mongo';
import { Proxy } from '../support/proxy';
import { waitFor } from '../support/wait';
import { conformance } from './conformance';
import { SILENCE_MS, SilentProxy } from './silent-proxy';

/** What the real stand-in can't show: names of indexes in errors, validators, logins, and every command that is sent. */
describe('mongodb, on a stand-in in memory', () => {
  let standin: Promise<MongoStandin> | null = null;
  const start = () => (standin ??= MongoStandin.start());
  afterAll(async () => (await start()).close());

  conformance('on a stand-in for MongoDB', { open: async () => mongoStore((await start()).url('conformance')), many: 2_000 });

  const migrated = async (name: string) => {
    const server = await start();
    const store = mongoStore(server.url(name));
    await store.migrate();
    return { server, store };
  };
  const list = async (store: ReturnType<typeof mongoStore>, topic: string) =>
    (await store.listMessages({ topic, after: '', limit: 100, now: Date.now() })).map(({ id }) => id);

  // Promise 13.
  it("rejects only messages that an operator's validator rejects", async () => {
    const { server, store } = await migrated('validator');
    server.collection('validator', 'mqtt_msg').options['validator'] = { payload: { $not: { $type: 'binData' } } };
    const batch = Array.from({ length: 20 }, (_, i) => message({ topic: 't', payload: Buffer.from([i % 9 === 4 ? 0xff : 0x61]) }));
    const refused = batch.filter((_, i) => i % 9 === 4);
    expect(await store.saveMessages(batch)).toEqual(refused.map(({ id }) => ({ id, reason: 'Document failed validation (code 121)' })));
    expect(await list(store, 't')).toEqual(batch.filter((each) => !refused.includes(each)).map(({ id }) => id));
    server.collection('validator', 'mqtt_retain').options['validator'] = { payload: { $not: { $type: 'binData' } } };
    const [fine, poison] = [message({ topic: 'fine' }), message({ topic: 'poison', payload: Buffer.from([0xff]) })];
    expect(await store.putRetained([fine, poison])).toEqual([
      { id: poison.id, reason: expect.stringContaining('failed validation') as string },
    ]);
    expect(await store.listRetained({ filter: '#', after: '', limit: 10 })).toHaveLength(1);
    await store.close();
  });

  it("reports a message that an operator's unique index rejects", async () => {
    const { server, store } = await migrated('unique');
    server.collection('unique', 'mqtt_msg').createIndex({ name: 'of_the_operator', key: { sender: 1 }, unique: true });
    const [first, second] = [message({ topic: 't' }), message({ topic: 't' })];
    expect(await store.saveMessages([first, second])).toEqual([
      { id: second.id, reason: expect.stringContaining('of_the_operator') as string },
    ]);
    expect(await store.saveMessages([first])).toEqual([]);
    await store.close();
  });

  it('lists 100 of many in one command that an index answers in its order', async () => {
    const { server, store } = await migrated('reads');
    await store.saveMessages(Array.from({ length: 1_000 }, () => message({ topic: 'many' })));
    const before = server.commands.length;
    expect(await list(store, 'many')).toHaveLength(100);
    expect(server.commands.slice(before)).toEqual([
      expect.objectContaining({
        ...{ find: 'mqtt_msg', limit: 100, sort: { msgid: 1 }, hint: 'mqtt_msg_topic_key_msgid' },
        filter: expect.objectContaining({ topic_key: 'many', msgid: { $gt: '' } }) as Document,
      }),
    ]);
    await store.close();
  });

  it('lists topics with many messages by one read a topic, and many topics by a few', async () => {
    const { server, store } = await migrated('topics');
    const listed = async (filter: string) => {
      const before = server.commands.length;
      const found = await store.listTopics({ filter, after: '', limit: 1_000 });
      return [found.length, server.commands.length - before];
    };
    await store.saveMessages(Array.from({ length: 600 }, (_, i) => message({ topic: `few/${i % 3}` })));
    await store.saveMessages(Array.from({ length: 600 }, (_, i) => message({ topic: `many/${i}` })));
    expect(await listed('few/+')).toEqual([3, 4]);
    expect(await listed('many/+')).toEqual([600, 5]);
    await store.close();
  });

  it('keeps the newest of several simultaneous inserts', async () => {
    const { store } = await migrated('newest');
    const other = mongoStore((await start()).url('newest'));
    for (let round = 0; round < 20; round++) {
      const state = (at: number) => ({ clientid: `c${round}`, connected: true, node: null, connectedAt: at, disconnectedAt: null, at });
      await Promise.all([3, 1, 2, 5, 4].map((at) => (at % 2 === 0 ? store : other).saveClientStates([state(at)])));
      expect(await store.getClientState(`c${round}`)).toMatchObject({ at: 5 });
    }
    await Promise.all([store.close(), other.close()]);
  });

  it('writes a newer state again when another writer has just inserted an older one', async () => {
    const { server, store } = await migrated('race');
    const collection = server.collection('race', 'mqtt_client');
    jest.spyOn(collection, 'update').mockImplementationOnce(() => {
      collection.insert({ clientid: 'c', client_key: 'c', state: 0, changed_at: new Date(1) });
      throw new CommandError(11000, 'E11000 duplicate key error collection: race.mqtt_client index: mqtt_client_client_key');
    });
    await store.saveClientStates([{ clientid: 'c', connected: true, node: null, connectedAt: 2, disconnectedAt: null, at: 2 }]);
    expect(await store.getClientState('c')).toMatchObject({ connected: true, at: 2 });
    await store.close();
  });

  // Promise 3.
  it('removes a message whose acknowledgement arrived during its save', async () => {
    const { server, store } = await migrated('late_ack');
    const saved = message({ topic: 't' });
    const collection = server.collection('late_ack', 'mqtt_msg');
    const insert = collection.insert.bind(collection);
    jest.spyOn(collection, 'insert').mockImplementationOnce((document) => {
      server.collection('late_ack', 'mqtt_tombstone').insert({ _id: saved.id, expires_at: new Date(Date.now() + 60_000) });
      insert(document);
    });
    expect(await store.saveMessages([saved])).toEqual([]);
    expect(await list(store, 't')).toEqual([]);
    await store.close();
  });

  it('waits for its turn to migrate, and takes over from a dead server', async () => {
    const server = await start();
    const lock = { _id: 'lock', holder: 'another', until: new Date(Date.now() + 500) };
    server.collection('turns', 'mqtt_offline_migration').insert(lock);
    const store = mongoStore(server.url('turns'));
    await store.migrate();
    expect(Date.now()).toBeGreaterThanOrEqual(lock.until.getTime());
    expect(await answeredHealth(store)).toMatchObject({ ok: true });
    await store.close();
  });

  it('reports a missing index and what to do', async () => {
    const { server, store } = await migrated('no_index');
    server.collection('no_index', 'mqtt_msg').dropIndex('mqtt_msg_topic_key_msgid');
    await expect(list(store, 't')).rejects.toThrow(/hint .*run "emqx-offline-store migrate"/);
    await store.close();
  });

  it('names the setting for a wrong password without showing it', async () => {
    const url = (await start()).url('login').replace('//', '//user:hunter2@');
    const store = mongoStore(url);
    const { ok, detail } = await answeredHealth(store);
    expect(ok).toBe(false);
    expect(detail).toBe('STORE_URL: MongoDB rejected the login (Authentication failed.): check user, password and authSource');
    await store.close();
  });

  // Promise 14. The guard is connected(): the driver's client would fail for ever with "Topology is closed".
  it('says why it cannot connect each time it is asked, and works when the server is there', async () => {
    const { store: first } = await migrated('away');
    await first.close();
    const proxy = await Proxy.to((await start()).url('away'));
    proxy.cut();
    const store = mongoStore(`${proxy.url}?serverSelectionTimeoutMS=500`);
    try {
      for (let i = 0; i < 3; i++) {
        expect(await store.health()).toEqual({
          ok: false,
          detail: expect.stringMatching(/^STORE_URL: MongoDB closed the connection/) as string,
        });
        await expect(store.getMessage('absent')).rejects.toThrow(RetryableError);
      }
      proxy.restore();
      expect(await waitFor('the server', () => store.getMessage('absent').then(String, () => null))).toBe('null');
      expect(await answeredHealth(store)).toMatchObject({ ok: true });
    } finally {
      await store.close();
      await proxy.close();
    }
  });

  // Promise 14.
  it('works again when a server that did not answer is back', async () => {
    const { store: first } = await migrated('silent');
    await first.close();
    const proxy = await SilentProxy.to(new URL((await start()).url('silent')));
    const store = mongoStore(`${proxy.url}?socketTimeoutMS=${SILENCE_MS}&serverSelectionTimeoutMS=5000`);
    try {
      expect(await store.getMessage('absent')).toBeNull();
      proxy.silent = true;
      await expect(store.getMessage('absent')).rejects.toThrow(RetryableError);
      proxy.silent = false;
      for (let i = 0; i < 5; i++) expect(await store.getMessage('absent')).toBeNull();
    } finally {
      await store.close();
      await proxy.close();
    }
  });
});
