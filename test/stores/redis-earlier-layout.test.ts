import type { RedisConnection } from '../../src/redis/connect';
import type { Message } from '../../src/mqtt/message';
import { RedisStore } from '../../src/stores/redis';
import { withBackends } from '../support/backends';
import { message, newId } from '../support/messages';
import { keysOf, redisUrl, removeKeys, withRedis } from '../support/redis';
import { afterEachStep } from '../support/redis-steps';

const HOUR_MS = 3_600_000;
const HEX_TOPIC = '0005A10000000000F44000000A9C0001';
const isId = (text: string) => /^(?:[0-9A-F]{32}|[0-9A-Za-z]{16,27})$/.test(text);

/** What releases until migration 3 wrote for a message. */
async function writeAsBefore(redis: RedisConnection, prefix: string, each: Message): Promise<void> {
  const hash = `${prefix}:${isId(each.id) ? 'msg' : 'msg-id'}:${each.id}`;
  await redis.hset(hash, {
    ...{ id: each.id, from: each.clientid, qos: each.qos, topic: each.topic, payload: each.payload, ts: each.publishReceivedAt, retain: 0 },
    properties: JSON.stringify(each.properties),
    ...(each.expiresAt !== null && { expires_at: each.expiresAt }),
  });
  if (each.expiresAt !== null) await redis.pexpireat(hash, Math.max(each.expiresAt, Date.now()) + HOUR_MS);
  await redis.zadd(`${prefix}:msg-ids:${each.topic}`, 0, each.id);
  await redis.zadd(`${prefix}:${isId(each.topic) ? 'msg-topic' : 'msg'}:${each.topic}`, each.publishReceivedAt, each.id);
  await redis.zadd(`${prefix}:msg-expiry`, each.expiresAt ?? '+inf', `${each.id}:${each.topic}`);
  await redis.zadd(`${prefix}:msg-topics`, 0, each.topic);
}

describe.each(['redis', 'redis-cluster'] as const)('the keys of earlier releases on %s', (name) => {
  withBackends([name], ({ [name]: server }) => {
    const prefix = `earlier-layout-${process.pid}`;
    const stores: RedisStore[] = [];
    let own = '';
    let count = 0;
    const open = () => {
      const store = new RedisStore(redisUrl(server, { prefix: own }));
      stores.push(store);
      return store;
    };
    afterEach(async () => {
      await Promise.all(stores.splice(0).map((store) => store.close()));
      await removeKeys(server, `${prefix}-*`);
    });

    const now = Date.now();
    const many = Array.from({ length: 1_200 }, (_, i) => message({ topic: 'many', expiresAt: i % 2 === 0 ? null : now + HOUR_MS }));
    // The ids of the topic do not ascend with the times of the messages.
    const [first, second, third] = [newId(), newId(), newId()];
    const unordered = [
      message({ topic: 'a/b', id: first, publishReceivedAt: now + 3_000 }),
      message({ topic: 'a/b', id: second, publishReceivedAt: now - 3_000, expiresAt: now + HOUR_MS }),
      message({ topic: 'a/b', id: third, publishReceivedAt: now, payload: Buffer.from([0xff, 0]) }),
    ];
    const named = [message({ topic: HEX_TOPIC }), message({ topic: 'short', id: 'short' }), message({ topic: 'short', id: '~' })];
    const expired = message({ topic: 'old', expiresAt: now - 1 });
    const [buried, outlived] = [message({ topic: 'gone' }), message({ topic: 'gone' })];

    async function fill(): Promise<void> {
      own = `${prefix}-${count++}`;
      await withRedis(server, async (redis) => {
        await redis.hset(`${own}:offline-migration`, '1', 'then', '2', 'then', '3', 'then');
        await Promise.all([...many, ...unordered, ...named, expired].map((each) => writeAsBefore(redis, own, each)));
        await redis.set(`${own}:msg-gone:${buried.id}`, now + HOUR_MS, 'PX', HOUR_MS);
        await redis.set(`${own}:msg-gone:${outlived.id}`, now - 1, 'PX', HOUR_MS);
        // EMQX leaves ids of messages that Redis has expired.
        await redis.zadd(`${own}:msg:a/b`, 1, '0000000000000001F44000000A9C0001');
        await redis.zadd(`${own}:msg:orphans`, 1, 'orphan');
        // A process died before it had written this message's entry in EMQX's set.
        await redis.zrem(`${own}:msg:a/b`, first);
      });
    }

    async function expectAll(store: RedisStore): Promise<void> {
      const list = (topic: string) => store.listMessages({ topic, after: '', limit: 2_000, now: Date.now() });
      expect(await list('many')).toEqual(many);
      expect(await list('a/b')).toEqual(unordered);
      expect(await list(HEX_TOPIC)).toEqual([named[0]]);
      expect(await list('short')).toEqual(named.slice(1));
      expect(await list('old')).toEqual([]);
      expect((await store.topicCounts(['a/b'], now)).get('a/b')?.messages).toBe(3);
      expect(await store.countMessages()).toBe(many.length + unordered.length + named.length + 1);
      expect((await store.purgeExpired(Date.now(), 100)).removed).toBe(1);
      await store.saveMessages([buried, outlived, many[3]!, { ...unordered[0]!, payload: Buffer.from('another') }]);
      expect(await list('gone')).toEqual([outlived]);
      expect(await list('a/b')).toEqual(unordered);
      expect(await store.listTopics({ filter: '#', after: '', limit: 10 })).toEqual([HEX_TOPIC, 'a/b', 'gone', 'many', 'short']);
      await withRedis(server, async (redis) => {
        expect(await redis.pttl(`${own}:msg:${many[1]!.id}`)).toBe(-1);
        expect((await keysOf(redis, own)).filter((key) => /:msg-(ids|gone|expiry)/.test(key))).toEqual([]);
      });
      // Half of the messages expire, the others are removed: nothing is left of either.
      while ((await store.purgeExpired(now + HOUR_MS, 500)).more);
      const left = [...many, ...unordered, ...named, outlived].filter(({ expiresAt }) => expiresAt === null);
      expect(await store.removeMessages(left, Date.now() - 1)).toBe(left.length);
      expect(await withRedis(server, (redis) => keysOf(redis, own))).toEqual([`${own}:offline-migration`]);
    }

    it('are brought along, by two processes at once', async () => {
      await fill();
      const [one, other] = [open(), open()];
      expect((await one.migrationPlan()).pending).toEqual(['004_lives.md']);
      await Promise.all([one.migrate(), other.migrate()]);
      await one.migrate();
      await expectAll(one);
    }, 60_000);

    it('are brought along when earlier processes died in the middle', async () => {
      await fill();
      let died = 0;
      for (const at of [1, 2, 3, 4, 5, 7, 9, 11, 14, 17, 20, 25]) {
        const store = open();
        afterEachStep(store, (step) => {
          if (step === at) throw new Error('the process died');
        });
        await store.migrate().catch(() => died++);
      }
      expect(died).toBe(12);
      const store = open();
      await store.migrate();
      await expectAll(store);
    }, 60_000);

    it('do not bring a message back that another process removes while this one still migrates', async () => {
      const [alive, dead] = [message({ topic: 't' }), message({ topic: 't' })];
      for (let at = 0, reached = true; reached; at++) {
        own = `${prefix}-${count++}`;
        const [slow, serving] = [open(), open()];
        await withRedis(server, async (redis) => {
          await redis.hset(`${own}:offline-migration`, '3', 'then');
          for (const each of [alive, dead]) await writeAsBefore(redis, own, each);
        });
        reached = false;
        afterEachStep(slow, async (step) => {
          if (step !== at) return;
          reached = true;
          await serving.migrate();
          await serving.removeMessages([dead], Date.now() + HOUR_MS);
        });
        await slow.migrate();
        expect(await serving.listMessages({ topic: 't', after: '', limit: 9, now: 0 })).toEqual(reached ? [alive] : [alive, dead]);
        if (!reached) continue;
        await serving.saveMessages([dead]);
        await serving.removeMessages([alive], 0);
        while ((await serving.purgeExpired(Date.now() + 2 * HOUR_MS, 100)).more);
        expect(await withRedis(server, (redis) => keysOf(redis, own))).toEqual([`${own}:offline-migration`]);
      }
    }, 60_000);
  });
});
