import { Cluster, Redis } from 'ioredis';
import { SettingError } from '../../src/base/errors';
import { RedisStore } from '../../src/stores/redis';
import { Database } from '../../src/stores/redis/database';
import { withBackends } from '../support/backends';
import { message, newId } from '../support/messages';
import { keysOf, redisUrl, removeKeys, withRedis } from '../support/redis';
import { conformance } from './conformance';

describe.each(['redis', 'redis-tls', 'redis-cluster', 'redis-sentinel', 'redis-cluster-tls', 'redis-sentinel-tls'] as const)(
  '%s',
  (name) => {
    withBackends([name], ({ [name]: server }) => {
      const prefix = `conformance-${process.pid}`;
      const open = () => Promise.resolve(new RedisStore(redisUrl(server, { prefix })));
      afterAll(() => removeKeys(server, prefix), 60_000);

      conformance(`on ${name}`, { open, many: name === 'redis' ? 10_000 : 2_000 });

      it('leaves no keys behind when everything is removed', async () => {
        const own = `${prefix}-cleanup`;
        const store = new RedisStore(redisUrl(server, { prefix: own }));
        await store.migrate();
        const messages = ['a/b', '0005A10000000000F44000000A9C0001', 'c'].map((topic) => message({ topic, retain: true }));
        const position = { consumer: 'c', topic: 't', id: newId(), receipts: [] };
        await store.saveMessages(messages);
        await store.putRetained(messages);
        await store.putSubscriptions([{ clientid: 'c', topic: 't', qos: 1 }]);
        await store.putPositions([position]);
        await store.removeMessages(messages, Date.now() - 1);
        await store.deleteRetained(messages);
        await store.deleteSubscriptions([{ clientid: 'c', topic: 't' }]);
        await store.putPositions([{ ...position, id: '' }]);
        expect(await withRedis(server, (redis) => keysOf(redis, own))).toEqual([`${own}:offline-migration`]);
        await store.close();
        await removeKeys(server, own);
      });
    });
  },
);

describe('redis', () => {
  withBackends(
    ['redis', 'redis-tls', 'redis-cluster', 'redis-sentinel'],
    ({ redis: server, 'redis-tls': tls, 'redis-cluster': cluster, 'redis-sentinel': sentinel }) => {
      const prefix = `redis-test-${process.pid}`;
      let store: RedisStore;
      beforeAll(() => {
        store = new RedisStore(redisUrl(server, { prefix }));
        return store.migrate();
      });
      afterAll(async () => {
        await store.close();
        await removeKeys(server, prefix);
      });

      it('separates a topic and a message of the same name', async () => {
        const id = '0005A10000000000F44000000A9C0001';
        const [named, within] = [message({ topic: 'any', id }), message({ topic: id })];
        const short = message({ topic: 'temperature', id: 'temperature' });
        await store.saveMessages([named, within, short]);
        for (const each of [named, within, short]) {
          expect(await store.getMessage(each.id)).toEqual(each);
          expect(await store.listMessages({ topic: each.topic, after: '', limit: 9, now: 0 })).toEqual([each]);
        }
        await store.removeMessages([within, short], Date.now() - 1);
        expect(await store.getMessage(id)).toEqual(named);
      });

      it("is readable for readers of EMQX's keys", async () => {
        const saved = message({ topic: 'readers/1', qos: 2, payload: Buffer.from([0xff, 0, 1]), publishReceivedAt: 1_700_000_000_123 });
        await store.saveMessages([saved]);
        await store.saveClientStates([{ clientid: 'c', connected: true, node: 'emqx@a', connectedAt: 5, disconnectedAt: null, at: 5 }]);
        await store.putSubscriptions([{ clientid: 'c', topic: 't/#', qos: 1 }]);
        await store.putPositions([{ consumer: 'c', topic: 'readers/1', id: saved.id, receipts: [] }]);
        await withRedis(server, async (redis) => {
          expect(await redis.zrange(`${prefix}:msg:readers/1`, '0', '-1', 'WITHSCORES')).toEqual([saved.id, '1700000000123']);
          const hash = await redis.hgetallBuffer(`${prefix}:msg:${saved.id}`);
          expect(hash).toMatchObject({
            payload: saved.payload,
            from: Buffer.from('publisher'),
            qos: Buffer.from('2'),
            retain: Buffer.from('0'),
          });
          expect(await redis.hgetall(`${prefix}:client:c`)).toMatchObject({ state: '1', online_at: '5' });
          expect(await redis.hgetall(`${prefix}:node:emqx@a`)).toEqual({ c: '5' });
          expect(await redis.hgetall(`${prefix}:sub:c`)).toEqual({ 't/#': '1' });
          expect(await redis.get(`${prefix}:acked:c:readers/1`)).toBe(saved.id);
        });
      });

      it("keeps the keys of EMQX's readers when a position has a greater version", async () => {
        const position = { consumer: 'fenced', topic: 'readers/2', id: newId(), receipts: [], version: 2 };
        await store.putPositions([position]);
        await store.putPositions([{ ...position, id: newId(), version: 1 }]);
        await store.putPositions([{ ...position, id: '', version: 1 }]);
        expect(await withRedis(server, (redis) => redis.get(`${prefix}:acked:fenced:readers/2`))).toBe(position.id);
      });

      // The guard is Positions.indexAgain: without it positionsOfTopic does not know the consumer.
      it('finds a position that was put while an older one was deleted', async () => {
        const position = { consumer: 'again', topic: 'readers/3', id: newId(), receipts: [], version: 1 };
        const next = { ...position, version: 2 };
        await store.putPositions([position]);
        const all = Database.prototype.all;
        const spy = jest.spyOn(Database.prototype, 'all').mockImplementationOnce(async function (this: Database, ...args) {
          const answers = await all.apply(this, args);
          spy.mockRestore();
          await store.putPositions([next]);
          return answers;
        });
        await store.putPositions([{ ...position, id: '' }]);
        expect(await store.positionsOfTopic('readers/3')).toEqual([next]);
        expect(await store.listPositions('again', '', 10)).toEqual([next]);
      });

      it('saves 256 messages in as many waves of commands as 16', async () => {
        const waves = async (count: number) => {
          const spy = jest.spyOn(Database.prototype, 'all');
          await store.saveMessages(Array.from({ length: count }, () => message({ topic: `batch/${newId()}` })));
          const calls = spy.mock.calls.length;
          spy.mockRestore();
          return calls;
        };
        expect(await waves(256)).toBe(5);
        expect(await waves(16)).toBe(5);
      });

      it('reads what it returns, not the backlog', async () => {
        for (let i = 0; i < 8; i++) await store.saveMessages(Array.from({ length: 250 }, () => message({ topic: 'backlog' })));
        const spy = jest.spyOn(Database.prototype, 'all');
        expect(await store.listMessages({ topic: 'backlog', after: '', limit: 100, now: 0 })).toHaveLength(100);
        expect(spy.mock.calls.map(([commands]) => commands.length)).toEqual([1, 100]);
        spy.mockClear();
        expect(await store.listRefs({ topic: 'backlog', after: '', limit: 100, now: 0 })).toHaveLength(100);
        expect(spy.mock.calls.map(([commands]) => commands.length)).toEqual([1, 100]);
        expect(spy.mock.calls.flatMap(([commands]) => commands.flat())).not.toContain('payload');
        spy.mockRestore();
      });

      it('lets Redis expire a message that was not purged', async () => {
        const expired = message({ topic: 'forgotten', expiresAt: Date.now() - 2 * 60 * 60 * 1_000 });
        const living = message({ topic: 'forgotten' });
        await store.saveMessages([expired, living]);
        await withRedis(server, async (redis) => {
          expect(await redis.pttl(`${prefix}:msg:${expired.id}`)).toBeLessThanOrEqual(60 * 60 * 1_000);
          await redis.del(`${prefix}:msg:${expired.id}`);
        });
        expect(await store.listMessages({ topic: 'forgotten', after: '', limit: 10, now: Date.now() })).toEqual([living]);
        while ((await store.purgeExpired(Date.now(), 10)).removed > 0);
        expect(await withRedis(server, (redis) => redis.zrange(`${prefix}:msg-ids:forgotten`, '0', '-1'))).toEqual([living.id]);
      });

      it.each([
        ['a host that is not there', 'redis://127.0.0.1:1', /^STORE_URL: cannot connect to Redis .*check host and port$/],
        [
          'a cluster that is not there',
          'redis+cluster://127.0.0.1:1,127.0.0.1:2',
          /^STORE_URL: cannot connect to Redis .*check host and port$/,
        ],
        ['sentinels that are not there', 'redis+sentinel://127.0.0.1:1/mymaster', /^STORE_URL: cannot connect to a sentinel .*check hosts/],
        [
          'a sentinel that does not know the master',
          sentinel.replace(/\w+$/, 'other'),
          /^STORE_URL: cannot connect to a sentinel .*the master's name$/,
        ],
        ['a wrong password', tls.replace(/:[^:@/]*@/, ':wrong@'), /^STORE_URL: Redis rejected the login .*check user and password$/],
        ['a certificate that is not known', tls.replace(/\?.*/, ''), /^STORE_URL: .*check tls=, ca= and the host name$/],
        ['a database number that is not there', `${server}/999`, /^STORE_URL: .*check the database number/],
      ])('names the setting for %s', async (_, url, expected) => {
        const wrong = new RedisStore(redisUrl(url));
        const { ok, detail } = await wrong.health();
        expect(detail).toMatch(expected);
        expect(detail).not.toContain('wrong');
        expect(ok).toBe(false);
        await wrong.close();
      });

      it('reports missing rights and a missing migration', async () => {
        await withRedis(server, (redis) => redis.call('ACL', 'SETUSER', 'reader', 'on', '>reader', '~*', '+@read', '+ping', '+info'));
        const restricted = new RedisStore(redisUrl(server.replace('://', '://reader:reader@'), { prefix: `${prefix}-empty` }));
        expect((await restricted.health()).detail).toMatch(/^STORE_URL: .*version 0.*run "emqx-offline-store migrate"$/);
        await expect(restricted.migrate()).rejects.toThrow(/NOPERM.*the user needs more rights/);
        await restricted.close();
        await withRedis(server, (redis) => redis.call('ACL', 'DELUSER', 'reader'));
      });

      it('rejects unknown parameters', () => {
        expect(() => new RedisStore(redisUrl(server, { prefx: 'x' }))).toThrow(SettingError);
        expect(() => new RedisStore(redisUrl(server, { prefx: 'x' }))).toThrow(
          /STORE_URL: unknown parameter prefx; known are tls, ca, prefix/,
        );
      });

      it('works again when the connection was lost', async () => {
        const saved = message({ topic: 'lost' });
        await store.saveMessages([saved]);
        await withRedis(server, (redis) => redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'));
        expect(await store.getMessage(saved.id)).toEqual(saved);
      });

      it('spreads over all masters of a cluster', async () => {
        const own = `${prefix}-spread`;
        const spread = new RedisStore(redisUrl(cluster, { prefix: own }));
        await spread.migrate();
        await spread.saveMessages(Array.from({ length: 60 }, (_, i) => message({ topic: `spread/${i}` })));
        await withRedis(cluster, async (redis) => {
          for (const master of (redis as Cluster).nodes('master')) expect(await (master as Redis).keys(`${own}:*`)).not.toHaveLength(0);
        });
        await spread.close();
        await removeKeys(cluster, own);
      });
    },
  );
});
