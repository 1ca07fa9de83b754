import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { EmqxStandIn } from '../standin';
import { SilentProxy } from '../stores/silent-proxy';
import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { publishEvent } from '../support/events';
import { ServerProcess } from '../support/process';
import { emptyRedis, redisOf } from '../support/redis';
import { waitFor } from '../support/wait';

/** The server gives up after 9 s, and a process needs some seconds to end on a busy machine. The database's own timeout is 15 s. */
const MOST_MS = 14_000;

interface Page {
  messages: { id: string }[];
}

/**
 * SIGTERM while something that the server needs has gone silent. The guards: STOP_TIMEOUT_MS in main.ts; what is in
 * hand stays in the queue.
 */
describe('the stop of the server', () => {
  withBackends(['postgres', 'redis'], ({ postgres, redis }) => {
    const running: ServerProcess[] = [];
    const proxies: SilentProxy[] = [];
    const serve = async (environment: Record<string, string>) => {
      const server = await ServerProcess.serve(environment);
      running.push(server);
      return server;
    };
    const proxied = async (url: string) => {
      const proxy = await SilentProxy.to(new URL(url));
      proxies.push(proxy);
      return proxy;
    };
    const stop = async (server: ServerProcess) => {
      const from = performance.now();
      await server.end('SIGTERM');
      return performance.now() - from;
    };
    const accept = async (server: ServerProcess, id: string) => {
      const answer = await server.post('/v1/events', publishEvent({ topic: 'stop/1', id }));
      expect(answer.status).toBe(202);
    };
    const expectStored = async (environment: Record<string, string>, ids: string[]) => {
      const again = await serve(environment);
      await waitFor(
        'what was accepted',
        async () => {
          const { messages } = await again.get<Page>('/v1/messages?topic=stop/1');
          return JSON.stringify(messages.map(({ id }) => id)) === JSON.stringify(ids);
        },
        30_000,
      );
    };

    // What an earlier run has left would be worked on, too.
    const queue = redisOf('server/stop', redis);
    beforeEach(() => emptyRedis(queue));
    afterEach(async () => {
      await Promise.all(running.splice(0).map((server) => server.end('SIGKILL')));
      await Promise.all(proxies.splice(0).map((proxy) => proxy.close()));
    });

    it('takes less than 10 s when the store does not answer, and loses no event', async () => {
      const store = await emptyDatabase(postgres, 'offline_stop_store');
      const proxy = await proxied(store);
      const server = await serve({ STORE_URL: proxy.url, QUEUE_URL: queue });
      await accept(server, 'A1');
      await waitFor('the first write', async () => (await server.get<Page>('/v1/messages?topic=stop/1')).messages.length === 1);
      proxy.silent = true;
      await accept(server, 'A2');
      await accept(server, 'A3');
      expect(await stop(server)).toBeLessThan(MOST_MS);
      await expectStored({ STORE_URL: store, QUEUE_URL: queue }, ['A1', 'A2', 'A3']);
    }, 90_000);

    it.each(['redis', 'postgres'])(
      'takes less than 10 s when the queue (%s) does not answer',
      async (kind) => {
        const proxy = await proxied(kind === 'redis' ? queue : await emptyDatabase(postgres, 'offline_stop_queue'));
        const server = await serve({ STORE_URL: await emptyDatabase(postgres, 'offline_stop_store'), QUEUE_URL: proxy.url });
        await accept(server, 'B1');
        proxy.silent = true;
        // EMQX waits for its answer; it gets none, or 503, and sends the event again.
        const waiting = server.post('/v1/events', publishEvent({ topic: 'stop/1', id: 'B2' })).then(
          ({ status }) => status,
          () => 0,
        );
        expect(await stop(server)).toBeLessThan(MOST_MS);
        expect([0, 503]).toContain(await waiting);
      },
      60_000,
    );

    it.each([
      ["reads the client's session", /\/clients\/c/],
      ['publishes', /\/publish/],
    ])(
      'gives the delivery back within 5 s when EMQX does not answer while the server %s',
      async (_, url) => {
        const emqx = await EmqxStandIn.start();
        const environment = {
          STORE_URL: await emptyDatabase(postgres, 'offline_stop_store'),
          QUEUE_URL: queue,
          EMQX_URL: emqx.apiUrl,
          EMQX_API_KEY: emqx.apiKey,
          EMQX_API_SECRET: emqx.apiSecret,
        };
        const server = await serve(environment);
        await accept(server, 'C1');
        let asked = false;
        const never = new Promise<void>(() => undefined);
        emqx.rest.hold = {
          url,
          get until() {
            asked = true;
            return never;
          },
        };
        const { session } = emqx.broker.open({ clientid: 'c', username: null, version: 5, clean: true, expiry: 3_600 });
        const nothing = () => undefined;
        session.subscriptions.set('stop/1', 1);
        session.resume({ send: nothing, release: nothing, close: nothing, kill: nothing });
        await server.post('/v1/events', {
          event: 'session.subscribed',
          clientid: 'c',
          topic: 'stop/1',
          qos: 1,
          timestamp: Date.now() + 1_000,
        });
        await waitFor('the delivery to begin', () => asked);
        // Its answer would take 10 s; the request is given up.
        expect(await stop(server)).toBeLessThan(5_000);
        emqx.rest.hold = null;
        await serve(environment);
        await waitFor('the delivery', () => emqx.rest.publishes.length === 1, 45_000);
        await emqx.stop();
      },
      90_000,
    );

    // The guard is LAST_REQUESTS_MS: without it the stop is cut short, and nothing is given back.
    it('exits cleanly while a request is still arriving', async () => {
      const server = await serve({ STORE_URL: await emptyDatabase(postgres, 'offline_stop_store'), QUEUE_URL: queue });
      const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
      socket.on('error', () => undefined);
      socket.write('POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{');
      await once(socket, 'connect');
      expect(await server.end('SIGTERM')).toBe(0);
      socket.destroy();
    });

    it('ends at once after a second signal', async () => {
      const proxy = await proxied(await emptyDatabase(postgres, 'offline_stop_store'));
      const server = await serve({ STORE_URL: proxy.url, QUEUE_URL: queue });
      proxy.silent = true;
      await accept(server, 'D1');
      const first = server.end('SIGTERM');
      await waitFor('the stop to begin', () => server.output.includes('stopping'));
      const from = performance.now();
      await server.end('SIGTERM');
      expect(await first).toBe(1);
      // The stop that was begun would take 9 s.
      expect(performance.now() - from).toBeLessThan(5_000);
    });
  });
});

/** The order in which things are started does not matter; /readyz tells what is missing. The guard is Server.until. */
describe('the start of the server', () => {
  withBackends(['postgres', 'redis'], ({ postgres, redis }) => {
    const queue = redisOf('server/stop', redis);
    beforeEach(() => emptyRedis(queue));

    /** A port where nobody answers, or somebody who never says anything, until the real server takes it. */
    const absent = async (url: string, how: 'refuses' | 'is silent') => {
      const target = new URL(url);
      const sockets = new Set<Socket>();
      let there = false;
      const server: Server = createServer((socket) => {
        sockets.add(socket);
        socket.on('error', () => undefined);
        if (!there && how === 'refuses') return void socket.destroy();
        if (!there) return;
        const upstream = connect(Number(target.port), target.hostname).on('error', () => socket.destroy());
        sockets.add(upstream);
        upstream.on('close', () => socket.destroy());
        socket.on('close', () => upstream.destroy());
        socket.pipe(upstream).pipe(socket);
      }).listen(0, '127.0.0.1');
      await once(server, 'listening');
      return {
        url: Object.assign(new URL(url), { hostname: '127.0.0.1', port: String((server.address() as { port: number }).port) }).href.replace(
          /\/$/,
          '',
        ),
        arrive: () => {
          there = true;
          for (const socket of sockets) socket.destroy();
        },
        close: () => {
          for (const socket of sockets) socket.destroy();
          server.close();
        },
      };
    };

    it.each([
      ['queue', 'redis', 'refuses'],
      ['queue', 'postgres', 'refuses'],
      ['store', 'postgres', 'refuses'],
      ['emqx', '', 'refuses'],
    ] as const)(
      'waits for the %s (%s, which %s connections) and reports it in /readyz',
      async (what, kind, how) => {
        const emqx = await EmqxStandIn.start();
        const real = {
          store: await emptyDatabase(postgres, 'offline_start_store'),
          queue: kind === 'redis' ? queue : await emptyDatabase(postgres, 'offline_start_queue'),
          emqx: emqx.apiUrl,
        };
        const late = await absent(real[what], how);
        const urls = { ...real, [what]: late.url };
        const server = await ServerProcess.run(
          { STORE_URL: urls.store, QUEUE_URL: urls.queue, EMQX_URL: urls.emqx, EMQX_API_KEY: emqx.apiKey, EMQX_API_SECRET: emqx.apiSecret },
          'serve',
        );
        const state = async () => {
          const answer = await server.get<{ checks: { name: string; ok: boolean; detail: string }[] }>('/readyz').catch(() => null);
          return answer === null ? null : answer.checks.filter(({ ok }) => !ok);
        };
        try {
          const missing = await waitFor('an answer of /readyz', async () => {
            const failed = await state();
            return failed?.some(({ name }) => name === what) === true && (what === 'emqx' || failed.some(({ name }) => name === 'start'))
              ? failed
              : null;
          });
          expect(missing.find(({ name }) => name === what)!.detail).toMatch(/URL|EMQX/);
          const answer = async () => (await server.post('/v1/events', publishEvent({ topic: 'start/1' }))).status;
          if (what === 'queue') expect(await answer()).toBe(503);
          else await waitFor('an event to be accepted all the same', async () => (await answer()) === 202);
          late.arrive();
          await waitFor('everything to be there', async () => (await state())?.length === 0, 25_000);
        } finally {
          await server.end('SIGKILL');
          late.close();
          await emqx.stop();
        }
      },
      60_000,
    );
  });
});
