import { rmSync } from 'node:fs';
import { Cluster, Redis } from 'ioredis';
import { SettingError } from '../../src/base/errors';
import { RedisStore } from '../../src/stores/redis';
import { Database } from '../../src/stores/redis/database';
import { pack } from '../../src/stores/redis/packing';
import { serviceDirectory } from '../services/files';
import { stopService } from '../services/processes';
import { startRedis } from '../services/redis-server';
import { HOST } from '../services/service';
import { withBackends } from '../support/backends';
import { answeredHealth } from '../support/health';
import { hashed, message, newId } from '../support/messages';
import { freePort } from '../support/process';
import { Proxy } from '../support/proxy';
import { keysOf, redisUrl, removeKeys, withRedis } from '../support/redis';
import { conformance } from './conformance';

describe.each(['redis', 'redis-tls', 'redis-cluster', 'redis-sentinel', 'redis-cluster-tls', 'redis-sentinel-tls'] as const)(
  '%s',
  (name) => {
    withBackends([name], ({ [name]: server }) => {
      const prefix = `conformance-${process.pid}`;
      const open = () => Promise.resolve(new RedisStore(redisUrl(server, { prefix })));
      afterAll(() => removeKeys(server, prefix));

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

      // The guard is `changed` in saveClientStates().
      it("changes EMQX's list of a node's clients only for an event that is not older than the state", async () => {
        const [clientid, node] = ['late', 'emqx@late'];
        await store.saveClientStates([{ clientid, connected: true, node, connectedAt: 5, disconnectedAt: null, at: 5 }]);
        await store.saveClientStates([{ clientid, connected: false, node, connectedAt: null, disconnectedAt: 3, at: 3 }]);
        expect(await withRedis(server, (redis) => redis.hgetall(`${prefix}:node:${node}`))).toEqual({ late: '5' });
      });

      // The guard is timeless() in putSubscriptions().
      it('keeps a subscription without a time, which EMQX or an earlier release has assigned, when an event reports it', async () => {
        const assigned = { clientid: 'assigned', topic: 't/#', qos: 1 as const };
        await withRedis(server, (redis) => redis.hset(`${prefix}:sub:assigned`, assigned.topic, assigned.qos));
        await store.putSubscriptions([{ ...assigned, seenAt: 1_000 }]);
        await store.purgeSubscriptions(2_000, 1_000);
        expect(await store.listSubscriptions('assigned')).toEqual([assigned]);
      });

      it("is readable for readers of EMQX's keys", async () => {
        // The time in the id is that of the message, as EMQX makes it.
        const publishReceivedAt = 1_700_000_000_123;
        const id = `${(publishReceivedAt * 1_000 + 456).toString(16).padStart(16, '0').toUpperCase()}F44000000A9C0001`;
        const saved = message({ topic: 'readers/1', id, qos: 2, payload: Buffer.from([0xff, 0, 1]), publishReceivedAt });
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

      // Callers take a short page for the last one. The purge of read messages would not know the readers behind it.
      it('fills a page although a process died before it had removed the entries of what it has deleted', async () => {
        const own = new RedisStore(redisUrl(server, { prefix: `${prefix}-pages` }));
        await own.migrate();
        const topics = ['a/2', 'a/4', 'a/5', 'a/6'];
        await own.putPositions(topics.map((topic) => ({ consumer: 'c', topic, id: newId(), receipts: [] })));
        await own.putRetained(topics.map((topic) => message({ topic, retain: true })));
        await withRedis(server, async (redis) => {
          for (const topic of ['a/1', 'a/3']) {
            await redis.zadd(`${prefix}-pages:acked-topics:c`, 0, topic);
            await redis.zadd(`${prefix}-pages:retain-topics`, 0, topic);
          }
        });
        const topicsOf = (found: readonly { topic: string }[]) => found.map(({ topic }) => topic);
        expect(topicsOf(await own.listPositions('c', '', 2))).toEqual(['a/2', 'a/4']);
        expect(topicsOf(await own.listPositions('c', 'a/4', 9))).toEqual(['a/5', 'a/6']);
        expect(topicsOf(await own.listRetained({ filter: 'a/+', after: '', limit: 3 }))).toEqual(['a/2', 'a/4', 'a/5']);
        await own.close();
        await removeKeys(server, `${prefix}-pages`);
      });

      it.each([
        ['one server', server, 1, 1],
        ['a cluster', cluster, 5, 6],
      ])('saves and removes 256 messages in as few waves of commands as 16, on %s', async (_, url, saves, removals) => {
        const own = new RedisStore(redisUrl(url, { prefix: `${prefix}-waves` }));
        await own.migrate();
        const waves = async (count: number, topics: number) => {
          const batch = Array.from({ length: count }, (_, i) => message({ topic: `batch/${i % topics}/${newId()}` }));
          const spy = jest.spyOn(Database.prototype, 'all');
          await own.saveMessages(batch);
          const saved = spy.mock.calls.length;
          await own.removeMessages(batch, Date.now() + 60_000);
          const removed = spy.mock.calls.length - saved;
          spy.mockRestore();
          return [saved, removed];
        };
        expect(await waves(256, 256)).toEqual([saves, removals]);
        expect(await waves(256, 1)).toEqual([saves, removals]);
        expect(await waves(16, 16)).toEqual([saves, removals]);
        await own.close();
        await removeKeys(url, `${prefix}-waves`);
      });

      it('sends large messages in several requests, and reads them back', async () => {
        const payload = (i: number) => Buffer.alloc(200_000, String.fromCharCode(97 + i));
        const large = Array.from({ length: 9 }, (_, i) => message({ topic: 'large', payload: payload(i) }));
        const huge = message({ topic: 'large', payload: Buffer.alloc(5_000_000, 0xff) });
        const spy = jest.spyOn(Database.prototype, 'all');
        await store.saveMessages([...large, huge]);
        const sizes = spy.mock.calls.map(([[command]]) => (command?.at(-1) as Buffer).length);
        spy.mockRestore();
        expect(sizes).toHaveLength(6);
        expect(Math.max(...sizes.slice(0, 5))).toBeLessThan(512 * 1_024 + 10_000);
        const listed = await store.listMessages({ topic: 'large', after: '', limit: 20, now: 0 });
        expect(listed.map(hashed)).toEqual([...large, huge].map(hashed));
      });

      it('purges what has expired, however many messages and tombstones with other times are stored', async () => {
        const own = new RedisStore(redisUrl(server, { prefix: `${prefix}-purge` }));
        await own.migrate();
        const now = Date.now();
        const living = Array.from({ length: 2_000 }, (_, i) => message({ topic: 'mixed', expiresAt: i % 2 === 0 ? null : now + 60_000 }));
        const short = Array.from({ length: 600 }, () => message({ topic: 'mixed', expiresAt: now + 1_000 }));
        await own.saveMessages([...living, ...short]);
        await own.removeMessages(living.slice(0, 500), now + 60_000);
        const spy = jest.spyOn(Database.prototype, 'all');
        expect(await own.purgeExpired(now, 1_000)).toEqual({ removed: 0, more: false });
        expect(spy.mock.calls).toHaveLength(1);
        spy.mockClear();
        expect(await own.purgeExpired(now + 1_000, 400)).toEqual({ removed: 400, more: true });
        // The due ids, and twice their topics and a removal: a request has at most 256 ids.
        expect(spy.mock.calls).toHaveLength(5);
        expect(spy.mock.calls.flatMap(([commands]) => commands.flat())).not.toContain('payload');
        spy.mockRestore();
        expect(await own.purgeExpired(now + 1_000, 400)).toEqual({ removed: 200, more: false });
        expect(await own.countMessages()).toBe(1_500);
        await own.close();
        await removeKeys(server, `${prefix}-purge`);
      });

      it('lists ids in pages, of which many have the same score, after ids that are gone as well', async () => {
        const all = Array.from({ length: 60 }, (_, i) => message({ topic: 'opaque', id: `é${String(i).padStart(2, '0')}` }));
        await store.saveMessages(all);
        await store.removeMessages([all[19]!, all[20]!], 0);
        const after = async (id: string) => (await store.listRefs({ topic: 'opaque', after: id, limit: 3, now: 0 })).map((ref) => ref.id);
        const expected = all.filter((_, i) => i !== 19 && i !== 20).map(({ id }) => id);
        for (const each of ['', 'a', ...all.map(({ id }) => id), 'é', 'é0', 'é195', 'ê', '~']) {
          const behind = expected.filter((id) => Buffer.compare(Buffer.from(id), Buffer.from(each)) > 0);
          expect(await after(each)).toEqual(behind.slice(0, 3));
        }
      });

      it('packs any text and any bytes for scripts', async () => {
        const lengths = [0, 1, 31, 32, 33, 255, 256, 65_535, 65_536, 300_000];
        const texts = ['é', '😀', '\u0000', '\n', ...lengths.map((length) => 'x'.repeat(length)), 'ü'.repeat(20)];
        const bytes = [Buffer.from([0xff, 0, 0x80]), Buffer.alloc(70_000, 0xdb)];
        const packed = pack([...texts, 17, -1, 1.8446744073709552e19, [], ['nested', ['twice']], ...bytes]);
        const script = `local function flat(list, into)
          for _, each in ipairs(list) do if type(each) == 'table' then flat(each, into) else into[#into + 1] = each end end
          return into
        end
        return flat(cmsgpack.unpack(ARGV[1]), {})`;
        const answer = await withRedis(server, (redis) => redis.callBuffer('EVAL', script, 0, packed));
        const numbers = ['17', '-1', '18446744073709552000', 'nested', 'twice'];
        expect(answer).toEqual([...[...texts, ...numbers].map((text) => Buffer.from(text)), ...bytes]);
      });

      it('knows its scripts again when Redis has forgotten them, and works for a user without EVALSHA', async () => {
        const forgetful = await ownRedis();
        const own = new RedisStore(redisUrl(forgetful.url, { prefix }));
        const batch = [message({ topic: 'forgotten/1' }), message({ topic: 'forgotten/2' })];
        await own.migrate();
        await own.saveMessages(batch.slice(1));
        await withRedis(forgetful.url, (redis) => redis.call('SCRIPT', 'FLUSH'));
        await own.saveMessages(batch);
        expect(await own.getMessage(batch[0]!.id)).toEqual(batch[0]);
        await withRedis(forgetful.url, (redis) =>
          redis.call('ACL', 'SETUSER', 'evaluator', 'on', '>evaluator', '~*', ...['+@read', '+@write', '+eval', '+ping', '+info', '+scan']),
        );
        const limited = new RedisStore(redisUrl(forgetful.url.replace('://', '://evaluator:evaluator@'), { prefix }));
        expect(await limited.removeMessages(batch, Date.now() + 1_000)).toBe(2);
        await Promise.all([limited.close(), own.close()]);
        await forgetful.stop();
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
        const { ok, detail } = await answeredHealth(wrong);
        expect(detail).toMatch(expected);
        expect(detail).not.toContain('wrong');
        expect(ok).toBe(false);
        await wrong.close();
      });

      it('reports missing rights and a missing migration', async () => {
        await withRedis(server, (redis) => redis.call('ACL', 'SETUSER', 'reader', 'on', '>reader', '~*', '+@read', '+ping', '+info'));
        const restricted = new RedisStore(redisUrl(server.replace('://', '://reader:reader@'), { prefix: `${prefix}-empty` }));
        expect((await answeredHealth(restricted)).detail).toMatch(/^STORE_URL: .*version 0.*run "emqx-offline-store migrate"$/);
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
        const proxy = await Proxy.to(server);
        const own = new RedisStore(redisUrl(proxy.url, { prefix }));
        const saved = message({ topic: 'lost' });
        await own.saveMessages([saved]);
        proxy.cut();
        proxy.restore();
        expect(await own.getMessage(saved.id)).toEqual(saved);
        await own.close();
        await proxy.close();
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

/** A server of the test's own: others would miss what it forgets. */
async function ownRedis(): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const [service, port] = [`redis-scripts-${process.pid}`, await freePort()];
  await startRedis({ service, port });
  return {
    url: `redis://${HOST}:${port}`,
    async stop() {
      await stopService(service, 'SIGKILL');
      rmSync(serviceDirectory(service), { recursive: true, force: true });
    },
  };
}
