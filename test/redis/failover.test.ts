import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { RetryableError } from '../../src/base/errors';
import { parseServiceUrl } from '../../src/config/url';
import { RedisQueue } from '../../src/lanes/redis';
import { RedisStore } from '../../src/stores/redis';
import { serviceDirectory } from '../services/files';
import { stopService } from '../services/processes';
import { redisCli, startRedis } from '../services/redis-server';
import { HOST } from '../services/service';
import { withBackends } from '../support/backends';
import { answeredHealth } from '../support/health';
import { message } from '../support/messages';
import { freePort } from '../support/process';
import { Proxy } from '../support/proxy';

const TRIES = 400;
const PAUSE_MS = 50;

/** As the server's lanes do it: a call that failed is made again until it succeeds. */
async function untilDone<T>(call: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await call();
    } catch (error) {
      if (tries === TRIES) throw error;
      await sleep(PAUSE_MS);
    }
  }
}

/**
 * One name leads to the primary: the primary endpoint of a provider, a virtual address or a proxy. After a planned failover the old primary
 * is a replica, and keeps the connections that it has.
 */
describe('redis:// after a failover', () => {
  withBackends(['redis'], () => {
    const services = [0, 1].map((node) => `failover-redis-${process.pid}-${node}`);
    let ports: number[] = [];
    let proxy: Proxy;
    const url = () => parseServiceUrl(proxy.url, ['redis']);
    beforeEach(async () => {
      ports = [await freePort(), await freePort()];
      await Promise.all(services.map((service, node) => startRedis({ service, port: ports[node] ?? 0 })));
      await redisCli(ports[1] ?? 0, 'REPLICAOF', HOST, String(ports[0]));
      proxy = await Proxy.to(`redis://${HOST}:${ports[0]}`);
    });
    afterEach(async () => {
      await proxy.close();
      for (const service of services) {
        await stopService(service, 'SIGKILL');
        rmSync(serviceDirectory(service), { recursive: true, force: true });
      }
    });
    const failOver = async (): Promise<void> => {
      await redisCli(ports[1] ?? 0, 'REPLICAOF', 'NO', 'ONE');
      await redisCli(ports[0] ?? 0, 'REPLICAOF', HOST, String(ports[1]));
      proxy.pointTo(`redis://${HOST}:${ports[1]}`);
    };

    // The guard is reconnectOnError of redis/connect.ts. Without it each write fails for ever.
    it('promise 14: STORE_URL finds the new primary', async () => {
      const store = new RedisStore(url());
      await store.migrate();
      await failOver();
      const saved = [message({ topic: 'a' }), message({ topic: 'b' })];
      const subscriptions = ['a', 'b', 'c'].map((topic) => ({ clientid: 'c', topic, qos: 1 as const }));
      await Promise.all([untilDone(() => store.saveMessages(saved)), untilDone(() => store.putSubscriptions(subscriptions))]);
      expect(await store.listSubscriptions('c')).toEqual(subscriptions);
      expect(await store.listMessages({ topic: 'a', after: '', limit: 9, now: 0 })).toEqual(saved.slice(0, 1));
      expect(await redisCli(ports[1] ?? 0, 'EXISTS', 'mqtt:msg:a')).toBe('1');
      await store.close();
    });

    it('promise 14: QUEUE_URL finds the new primary, and a worker gets what was added there', async () => {
      const queue = new RedisQueue({ url: url(), onError: () => undefined });
      await queue.prepare();
      const [lane, source] = [queue.queue('events'), queue.source('events')];
      await source.open();
      await failOver();
      await untilDone(() => lane.addBulk([{ name: 'e', data: { n: 1 }, opts: {} }]));
      const taken = await untilDone(async () => (await source.next(true)) ?? Promise.reject(new Error('no job')));
      expect(taken.job.data).toEqual({ n: 1 });
      await untilDone(() => queue.state.setAll([{ key: 'k', value: 'v' }], 60_000));
      expect(await queue.state.get('k')).toBe('v');
      await source.close();
      await queue.close();
    });

    it('health() says that STORE_URL and QUEUE_URL lead to a replica', async () => {
      const [store, queue] = [new RedisStore(url()), new RedisQueue({ url: url(), onError: () => undefined })];
      await store.migrate();
      await redisCli(ports[0] ?? 0, 'REPLICAOF', HOST, String(ports[1]));
      expect(await answeredHealth(store)).toEqual({ ok: false, detail: expect.stringMatching(/^STORE_URL: .*is a replica/) as string });
      expect(await answeredHealth(queue)).toEqual({ ok: false, detail: expect.stringMatching(/^QUEUE_URL: .*is a replica/) as string });
      await expect(store.saveMessages([message({ topic: 'a' })])).rejects.toThrow(RetryableError);
      await Promise.all([store.close(), queue.close()]);
    });
  });
});
