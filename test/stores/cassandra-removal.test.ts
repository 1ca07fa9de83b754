import { CassandraStore } from '../../src/stores/cassandra';
import { Database } from '../../src/stores/cassandra/database';
import { shardOf } from '../../src/stores/cassandra/topic-index';
import { withBackends } from '../support/backends';
import { cassandraClient, dropKeyspace, emptyKeyspace, settingsOf } from '../support/keyspace';
import { message, newId } from '../support/messages';

const KEYSPACE = 'offline_removal';

/** An id whose time is `ms` before now. */
const idOf = (ms: number): string => (BigInt(Date.now() - ms) * 1_000n).toString(16).toUpperCase().padStart(16, '0') + newId().slice(16);

/** Two servers on one database, which save and remove the same messages (promises 2 and 3). */
describe('cassandra removal', () => {
  withBackends(['cassandra'], ({ cassandra: server }) => {
    let first: CassandraStore;
    let second: CassandraStore;
    let url: string;
    beforeAll(async () => {
      url = await emptyKeyspace(server, KEYSPACE);
      [first, second] = [new CassandraStore(settingsOf(url)), new CassandraStore(settingsOf(url))];
      await first.migrate();
    });
    afterAll(async () => {
      await Promise.all([first.close(), second.close()]);
      await dropKeyspace(server, KEYSPACE);
    });
    afterEach(() => jest.restoreAllMocks());

    const soon = () => Date.now() + 60_000;
    const idsOf = async (topic: string) =>
      (await second.listMessages({ topic, after: '', limit: 100, now: Date.now() })).map(({ id }) => id);

    /** Runs `meanwhile` when the next write to mqtt_msg is about to be sent, or has been answered. */
    const atNextWrite = (when: 'before' | 'after', meanwhile: () => Promise<unknown>): void => {
      const writeTogether = Database.prototype.writeTogether;
      let isFirst = true;
      jest.spyOn(Database.prototype, 'writeTogether').mockImplementation(async function (this: Database, statements) {
        const mine = isFirst && statements.some(({ query }) => query.includes('mqtt_msg '));
        if (mine) isFirst = false;
        if (mine && when === 'before') await meanwhile();
        await writeTogether.call(this, statements);
        if (mine && when === 'after') await meanwhile();
      });
    };

    const AGES: readonly [string, number][] = [
      ['fresh', 0],
      ['fresh, with a clock of EMQX that is ahead', -8_000],
      ['late', 600_000],
      ['late, with a clock of EMQX that is an hour ahead', -3_600_000],
    ];
    describe.each(AGES)('of a message that is %s', (name, age) => {
      const topicOf = (step: string) => `${name}/${step}`;

      it('before the save', async () => {
        const it = message({ topic: topicOf('before'), id: idOf(age) });
        expect(await second.removeMessages([it], soon())).toBe(0);
        await first.saveMessages([it]);
        expect(await idsOf(it.topic)).toEqual([]);
      });

      // For a fresh message the guard is the time of its id in removalTimestamp, for a late one LEAD_MS.
      it.each(['before', 'after'] as const)('at the moment %s the message is written', async (when) => {
        const it = message({ topic: topicOf(when), id: idOf(age) });
        atNextWrite(when, () => second.removeMessages([it], soon()));
        await first.saveMessages([it]);
        expect(await idsOf(it.topic)).toEqual([]);
        await second.saveMessages([it]);
        expect(await idsOf(it.topic)).toEqual([]);
      });

      it.each(['before', 'after'] as const)('when the message is saved at the moment %s the removal is written', async (when) => {
        const it = message({ topic: topicOf(`saved ${when}`), id: idOf(age) });
        atNextWrite(when, () => second.saveMessages([it]));
        await first.removeMessages([it], soon());
        expect(await idsOf(it.topic)).toEqual([]);
      });

      it('after the save, and the next save is never visible', async () => {
        const it = message({ topic: topicOf('again'), id: idOf(age) });
        await first.saveMessages([it]);
        expect(await idsOf(it.topic)).toEqual([it.id]);
        expect(await second.removeMessages([it], soon())).toBe(1);
        let seen: string[] = ['not looked'];
        atNextWrite('after', async () => (seen = await idsOf(it.topic)));
        await first.saveMessages([it, message({ topic: it.topic, id: `other-${it.id.slice(0, 8)}` })]);
        expect(seen).not.toContain(it.id);
        expect(await idsOf(it.topic)).not.toContain(it.id);
        expect(await second.removeMessages([it], soon())).toBe(0);
      });

      it('changes nothing in a message with another id, and the first of two contents stays whole', async () => {
        const topic = topicOf('contents');
        const it = message({ topic, id: idOf(age), payload: Buffer.from('b') });
        const neighbour = message({ topic });
        await first.saveMessages([it, neighbour]);
        await new Promise((resolve) => setTimeout(resolve, 5));
        await second.saveMessages([{ ...it, payload: Buffer.from('c'), username: 'u', expiresAt: Date.now() + 60_000 }]);
        await first.saveMessages([{ ...it, payload: Buffer.from([0xff]) }]);
        expect(await second.getMessage(it.id)).toEqual(it);
        await first.removeMessages([it], soon());
        expect(await idsOf(topic)).toEqual([neighbour.id]);
      });
    });

    // The guard is LEAD_MS.
    it('by a server whose clock is behind holds against a late message that is being written', async () => {
      const it = message({ topic: 'behind', id: idOf(600_000) });
      atNextWrite('before', async () => {
        const clock = jest.spyOn(Date, 'now').mockReturnValue(Date.now() - 15_000);
        await second.removeMessages([it], Date.now() + 900_000);
        clock.mockRestore();
      });
      await first.saveMessages([it]);
      expect(await idsOf(it.topic)).toEqual([]);
    });

    it('without a tombstone spares what is saved later', async () => {
      const late = message({ topic: 'no tombstone', id: idOf(600_000) });
      await first.saveMessages([late]);
      expect(await second.removeMessages([late], Date.now() - 1)).toBe(1);
      await first.saveMessages([late]);
      expect(await idsOf(late.topic)).toEqual([late.id]);
    });

    it('of a message that is late in one server and fresh in another holds in both', async () => {
      const it = message({ topic: 'edge', id: idOf(14_000) });
      await first.saveMessages([it]);
      await second.removeMessages([it], soon());
      jest.spyOn(Date, 'now').mockReturnValue(Date.now() + 5_000);
      await first.saveMessages([it]);
      jest.restoreAllMocks();
      await second.saveMessages([it]);
      expect(await idsOf(it.topic)).toEqual([]);
    });

    // The guard is checkLanded.
    it.each(['saveMessages', 'removeMessages'] as const)('a call of %s that stood still is repeated', async (method) => {
      const it = message({ topic: 'still' });
      const start = Date.now();
      atNextWrite('before', () => {
        jest.spyOn(Date, 'now').mockReturnValue(start + 25_000);
        return Promise.resolve();
      });
      const call = method === 'saveMessages' ? first.saveMessages([it]) : first.removeMessages([it], start + 60_000);
      await expect(call).rejects.toThrow(/took too long/);
    });

    it('a save of a stored message enters its topic and expiry, which an interrupted save may not have done', async () => {
      const topic = 'interrupted/a';
      const it = message({ topic, id: idOf(600_000), expiresAt: Date.now() + 60_000 });
      await first.saveMessages([it]);
      const client = cassandraClient(server, KEYSPACE);
      for (const table of ['mqtt_topic', 'mqtt_expiry']) await client.execute(`TRUNCATE ${table}`);
      await client.shutdown();
      await second.saveMessages([it]);
      expect(await second.listTopics({ filter: 'interrupted/#', after: '', limit: 10 })).toEqual([topic]);
      expect((await second.purgeExpired(Date.now() + 61_000, 100)).removed).toBe(1);
      expect(await idsOf(topic)).toEqual([]);
    });

    // The last of these, because the store's own timestamps never go back. The guard is the time of the id in removalTimestamp.
    it('of a message from the future holds when its time has come', async () => {
      const it = message({ topic: 'future', id: idOf(-60_000) });
      await second.removeMessages([it], Date.now() + 900_000);
      jest.spyOn(Date, 'now').mockReturnValue(Date.now() + 55_000);
      await first.saveMessages([it]);
      jest.restoreAllMocks();
      expect(await idsOf(it.topic)).toEqual([]);
    });

    describe('the entry of a topic', () => {
      const entries = async (topic: string) => {
        const client = cassandraClient(server, KEYSPACE);
        const { rows } = await client.execute(
          'SELECT writetime(saved_at) AS at FROM mqtt_topic WHERE shard = ? AND topic = ?',
          [shardOf(topic), topic],
          { prepare: true },
        );
        await client.shutdown();
        return rows.length;
      };
      const list = (topic: string) => second.listTopics({ filter: `${topic}/#`, after: '', limit: 10 });

      // The guard is STALE_MS: with the guard of a minute the second save would be in no list.
      it('stays while a server may rely on it, and goes later', async () => {
        const topic = 'entry/a';
        const it = message({ topic });
        await first.saveMessages([it]);
        await first.removeMessages([it], soon());
        const now = Date.now();
        const clock = jest.spyOn(Date, 'now').mockReturnValue(now + 280_000);
        expect(await list('entry')).toEqual([]);
        await first.saveMessages([message({ topic })]);
        expect(await list('entry')).toEqual([topic]);
        clock.mockReturnValue(now + 700_000);
        await first.removeMessages(await first.listMessages({ topic, after: '', limit: 10, now: 0 }), now + 800_000);
        expect(await list('entry')).toEqual([]);
        expect(await entries(topic)).toBe(0);
        await first.saveMessages([message({ topic })]);
        expect(await list('entry')).toEqual([topic]);
      });
    });
  });
});
