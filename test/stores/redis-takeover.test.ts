import { RefusedError } from '../../src/base/errors';
import type { RedisConnection } from '../../src/redis/connect';
import { RedisStore } from '../../src/stores/redis';
import { withBackends } from '../support/backends';
import { keysOf, redisUrl, removeKeys, withRedis } from '../support/redis';
import { afterEachStep } from '../support/redis-steps';
import { expectPlannedTakeover } from './planned-takeover';
import { purgeOld } from './purge-old';

const HEX = '00054981D19EB000F44000000A1F0001';
const [FIRST, SECOND] = ['6fHqZp3vT1kQyW0aBcDeFg', '1aBcDeFg6fHqZp3vT1kQyW'];
const TRIMMED = '00054981D19EB000F44000000A1F0002';

/** What EMQX's backend and its plugin for EMQX 5 leave in Redis. */
async function fill(redis: RedisConnection, prefix: string): Promise<void> {
  const put = async (id: string, topic: string, ts: number, fields: Record<string, string | Buffer> = {}, key = id) => {
    await redis.hset(`${prefix}:msg:${key}`, {
      id,
      from: 'old',
      qos: '1',
      topic,
      payload: `payload of ${id}`,
      ts: String(ts),
      retain: '0',
      ...fields,
    });
    await redis.zadd(`${prefix}:msg:${topic}`, ts, key);
  };
  await put(HEX, 't/1', 1_500_000_000_000, { payload: Buffer.from([0xff, 0]), retain: 'true' });
  await put(FIRST, 't/1', 1_600_000_000_000);
  await put(SECOND, 't/1', 1_600_000_000_001, { qos: '-1' });
  await redis.pexpire(`${prefix}:msg:${SECOND}`, 7_200_000);
  await put('7xKq2abcdefghijklmnopq', 'temperaturesensor1', 1_600_000_000_002);
  await redis.zadd(`${prefix}:msg:t/1`, 1, 'expired');
  await redis.hset(`${prefix}:client:here`, { state: '1', online_at: '1600000000', offline_at: '1500000000' });
  await redis.hset(`${prefix}:sub:here`, { 't/#': '1', 'u/+': '-1' });
  await redis.hset(`${prefix}:retain:r/1`, {
    id: HEX,
    from: 'old',
    qos: '1',
    topic: 'r/1',
    payload: 'kept',
    ts: '1600000000000',
    retain: '1',
  });
  await redis.hset(`${prefix}:retain:r/2`, { from: 'old', payload: 'no id', ts: '1600000000000' });
  await redis.set(`${prefix}:acked:here:t/1`, FIRST);
  await redis.set(`${prefix}:acked:a:b:t/1`, HEX);
  await redis.set(`${prefix}:acked:late:t/1`, 'expired');
}

describe.each(['redis', 'redis-cluster'] as const)('%s takeover', (name) => {
  withBackends([name], ({ [name]: server }) => {
    const prefix = `takeover*[${process.pid}]`;
    const glob = `takeover\\*\\[${process.pid}\\]`;
    const stores: RedisStore[] = [];
    const open = (own = prefix) => {
      const store = new RedisStore(redisUrl(server, { prefix: own }));
      stores.push(store);
      return store;
    };
    afterAll(async () => {
      await Promise.all(stores.map((store) => store.close()));
      await removeKeys(server, glob);
    });

    it('lists each old message once, in order, and keeps the other keys', async () => {
      await withRedis(server, (redis) => fill(redis, prefix));
      const store = open();
      await Promise.all([store.migrate(), open().migrate()]);
      await store.migrate();
      const list = (topic: string) => store.listMessages({ topic, after: '', limit: 10, now: Date.now() });
      const [hex, first, second] = await list('t/1');
      expect(await list('t/1')).toHaveLength(3);
      expect(hex).toMatchObject({
        id: HEX,
        payload: Buffer.from([0xff, 0]),
        retain: true,
        publishReceivedAt: 1_500_000_000_000,
        expiresAt: null,
      });
      expect(first).toMatchObject({ payload: Buffer.from(`payload of ${FIRST}`), clientid: 'old', qos: 1, expiresAt: null });
      expect(second).toMatchObject({ payload: Buffer.from(`payload of ${SECOND}`), qos: 0 });
      expect(second!.expiresAt! - Date.now()).toBeGreaterThan(7_000_000);
      expect(await list('temperaturesensor1')).toHaveLength(1);
      expect(await store.listTopics({ filter: '#', after: '', limit: 10 })).toEqual(['t/1', 'temperaturesensor1']);
      expect(await store.countMessages()).toBe(4);

      expect(await store.getClientState('here')).toEqual({
        ...{
          clientid: 'here',
          connected: true,
          node: null,
          connectedAt: 1_600_000_000_000,
          disconnectedAt: 1_500_000_000_000,
          at: 1_600_000_000_000,
        },
      });
      await purgeOld(store);
      expect(await store.listSubscriptions('here')).toEqual([
        { clientid: 'here', topic: 't/#', qos: 1 },
        { clientid: 'here', topic: 'u/+', qos: 0 },
      ]);
      const retained = await store.listRetained({ filter: 'r/#', after: '', limit: 10 });
      expect(retained.map(({ topic, payload }) => [topic, payload.toString()])).toEqual([
        ['r/1', 'kept'],
        ['r/2', 'no id'],
      ]);
      expect(await store.positionsOfTopic('t/1')).toEqual([
        { consumer: 'a:b', topic: 't/1', id: HEX, receipts: [] },
        { consumer: 'here', topic: 't/1', id: first!.id, receipts: [] },
      ]);

      expect(await store.removeMessages([hex!, first!, second!, ...(await list('temperaturesensor1'))], Date.now() - 1)).toBe(4);
      // Nothing of them is left. The migration has removed the id that EMQX had left without a message.
      expect((await withRedis(server, (redis) => keysOf(redis, glob))).filter((key) => key.startsWith(`${prefix}:msg`))).toEqual([]);
    });

    // The first step must not run again: it would take the receipts from positions.
    it('is planned by a dry run without changes, and logs its progress', async () => {
      const own = `${prefix}planned`;
      await withRedis(server, (redis) => fill(redis, own));
      const name = (kind: string) => `${glob}planned:${kind}:*`;
      await expectPlannedTakeover(open(own), { [name('acked')]: 3, [name('msg')]: 4, [name('retain')]: 2 });
    });

    // The guard is ADOPT of scripts.ts. A hash with expires_at alone would be no message, and no purge would ever remove it.
    it.each([HEX, FIRST])(
      'leaves nothing of a message that Redis expires between any two steps (%s)',
      async (id) => {
        for (let at = 0, reached = true; reached; at++) {
          reached = false;
          const own = `expiring-${process.pid}-${id.slice(0, 4)}-${at}`;
          const key = `${own}:msg:${id}`;
          await withRedis(server, async (redis) => {
            await redis.hset(key, { id, from: 'old', qos: '1', topic: 't/1', payload: 'x', ts: '1600000000000', retain: '0' });
            await redis.zadd(`${own}:msg:t/1`, 1_600_000_000_000, id);
            await redis.hset(`${own}:retain:r`, { from: 'old', qos: '1', payload: 'kept', ts: '1600000000000' });
            for (const each of [key, `${own}:retain:r`]) await redis.pexpire(each, 60_000);
            const store = open(own);
            afterEachStep(store, async (step) => {
              if (step !== at) return;
              reached = true;
              // What has no time to live any more stays.
              for (const each of [key, `${own}:retain:r`]) if ((await redis.pttl(each)) > 0) await redis.pexpire(each, 0);
            });
            await store.migrate();
          });
          const store = open(own);
          const list = () => store.listMessages({ topic: 't/1', after: '', limit: 10, now: 0 });
          for (const each of await list()) expect(each).toMatchObject({ topic: 't/1', payload: Buffer.from('x'), clientid: 'old' });
          while ((await store.purgeExpired(Date.now() + 120_000, 10)).more);
          expect(await list()).toEqual([]);
          for (const each of await store.listRetained({ filter: 'r', after: '', limit: 1 })) expect(each.payload.toString()).toBe('kept');
          await store.deleteRetained([{ topic: 'r', id: HEX, publishReceivedAt: Date.now() }]);
          expect(await withRedis(server, (redis) => keysOf(redis, own))).toEqual([`${own}:offline-migration`]);
          await removeKeys(server, own);
        }
      },
      60_000,
    );

    // Two servers that start at once, one of which is slow, or dies. The times of expiry are those that Redis had.
    it.each(['is slow', 'dies'])(
      'is completed by another server, which removes messages, while this one %s between any two steps',
      async (what) => {
        for (let at = 0, reached = true; reached; at++) {
          reached = false;
          const own = `slow-${process.pid}-${what.slice(0, 1)}-${at}`;
          await withRedis(server, async (redis) => {
            for (const [i, id] of [HEX, FIRST, SECOND, TRIMMED].entries()) {
              await redis.hset(`${own}:msg:${id}`, {
                id,
                from: 'old',
                qos: '1',
                topic: 't/1',
                payload: id,
                ts: String(1.5e12 + i),
                retain: '0',
              });
              await redis.zadd(`${own}:msg:t/1`, 1.5e12 + i, id);
            }
            for (const id of [HEX, FIRST]) await redis.pexpire(`${own}:msg:${id}`, 3_600_000);
            await redis.hset(`${own}:retain:r`, { from: 'old', qos: '1', payload: 'kept', ts: '1600000000000' });
          });
          const [slow, serving] = [open(own), open(own)];
          const list = async () => serving.listMessages({ topic: 't/1', after: '', limit: 10, now: 0 });
          afterEachStep(slow, async (step) => {
            if (step !== at) return;
            reached = true;
            if (what === 'dies') throw new Error('the process died');
            await serving.migrate();
            const removed = (await list()).filter(({ payload }) => payload.toString() === SECOND);
            expect(await serving.removeMessages(removed, Date.now() + 60_000)).toBe(1);
            // Without a tombstone, as by the policy's maxStored.
            expect(await serving.removeMessages([{ topic: 't/1', id: TRIMMED }], 0)).toBe(1);
            await serving.deleteRetained([{ topic: 'r', id: HEX, publishReceivedAt: Date.now() }]);
          });
          await slow.migrate().catch((error: unknown) => {
            if (what !== 'dies') throw error;
          });
          await serving.migrate();
          const left = (await list()).map(({ payload }) => payload.toString());
          const others = reached && what === 'is slow' ? [] : [SECOND, TRIMMED];
          expect(left.sort()).toEqual([HEX, FIRST, ...others].sort());
          expect(await serving.countMessages()).toBe(left.length);
          expect((await serving.purgeExpired(Date.now() + 3_700_000, 100)).removed).toBe(2);
          await serving.removeMessages(await list(), 0);
          await serving.deleteRetained([{ topic: 'r', id: HEX, publishReceivedAt: Date.now() }]);
          expect(await withRedis(server, (redis) => keysOf(redis, own))).toEqual([`${own}:offline-migration`]);
          await Promise.all([slow.close(), serving.close()]);
          await removeKeys(server, own);
        }
      },
      120_000,
    );

    it('reads data of an earlier release, which counts as seen now', async () => {
      const own = `earlier-${process.pid}`;
      const [store, later] = [open(own), open(own)];
      await store.migrate();
      const position = { consumer: 'c', topic: 't', id: HEX, receipts: ['@1000', `${HEX}1`] };
      await store.putPositions([position]);
      await store.saveClientStates([{ clientid: 'c', connected: false, node: null, connectedAt: null, disconnectedAt: 1_000, at: 1_000 }]);
      await withRedis(server, async (redis) => {
        for (const key of ['acked-seen', 'client-seen']) await redis.del(`${own}:${key}`);
        await redis.del(`${own}:offline-migration`);
        await redis.hset(`${own}:offline-migration`, '1', 'then');
      });
      await later.migrate();
      expect(await later.listPositions('c', '', 10)).toEqual([position]);
      await purgeOld(later);
      const soon = Date.now() + 1_000;
      expect(await later.purgePositions(soon, 10)).toEqual({ removed: 1, more: false });
      expect(await later.purgeClientStates({ disconnected: soon, connected: soon }, 10)).toEqual({ removed: 1, more: false });
      await removeKeys(server, own);
    });

    it.each([
      ['a message that is a string', (redis: RedisConnection, own: string) => redis.set(`${own}:msg:x`, 'y'), /msg:x is a string/],
      [
        'a hash that is no message',
        (redis: RedisConnection, own: string) => redis.hset(`${own}:msg:x`, 'subject', 'y'),
        /msg:x has no field topic/,
      ],
      [
        'a retained message that is a list',
        (redis: RedisConnection, own: string) => redis.rpush(`${own}:retain:x`, 'y'),
        /retain:x is a list/,
      ],
      [
        'a key of ours that is something else',
        (redis: RedisConnection, own: string) => redis.set(`${own}:msg-topics`, 'y'),
        /msg-topics is a string/,
      ],
    ])('is rejected without changes: %s', async (_, spoil, reason) => {
      const own = `refused-${process.pid}`;
      await removeKeys(server, own);
      await withRedis(server, async (redis) => {
        await redis.hset(`${own}:msg:${HEX}`, { topic: 't/1', ts: '1' });
        await spoil(redis, own);
      });
      const before = await withRedis(server, (redis) => keysOf(redis, own));
      const store = open(own);
      await expect(store.migrate()).rejects.toThrow(reason);
      await expect(store.migrate()).rejects.toThrow(RefusedError);
      expect(await withRedis(server, (redis) => keysOf(redis, own))).toEqual(before);
      expect((await store.health()).ok).toBe(false);
      await removeKeys(server, own);
    });

    it('is rejected for data of a newer release', async () => {
      const own = `newer-${process.pid}`;
      await withRedis(server, (redis) => redis.hset(`${own}:offline-migration`, '99', 'x'));
      await expect(open(own).migrate()).rejects.toThrow(/version 99.*upgrade/);
      await removeKeys(server, own);
    });
  });
});
