import { createLogger } from '../../src/base/log';
import { loadConfig } from '../../src/config/load';
import { Server } from '../../src/server/server';
import { Stub } from '../emqx/stub';
import { EmqxStandIn } from '../standin';
import { withBackends } from '../support/backends';
import { publishEvent } from '../support/events';
import { Proxy } from '../support/proxy';
import { emptyRedis, redisOf } from '../support/redis';
import { temporaryDirectory } from '../support/temp';
import { waitFor } from '../support/wait';

type Line = Record<string, unknown> & { readonly level: string; readonly msg: string };

const subscribedEvent = (clientid: string, topic: string) => ({
  ...{ event: 'session.subscribed', clientid, topic, qos: 1, timestamp: Date.now() + 1_000 },
});

describe('the log of a server', () => {
  const directory = temporaryDirectory();
  const stops: (() => unknown)[] = [];
  let text: string;
  let server: Server;
  const lines = (): Line[] =>
    text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Line);
  const about = (setting: string) => lines().filter((line) => line['setting'] === setting && line.level !== 'debug');
  const troubles = () => lines().filter(({ level }) => level === 'warn' || level === 'error' || level === 'fatal');

  const start = async (environment: Record<string, string>, level: 'info' | 'debug' = 'info') => {
    text = '';
    const log = createLogger({ level, destination: { write: (line: string) => void (text += line) } });
    const onFailure = (error: unknown) => {
      throw error;
    };
    server = await Server.start(loadConfig({ DATA_DIR: directory.path, PORT: '0', ...environment }), log, onFailure);
    stops.push(() => server.stop());
  };
  const emqxSettings = ({ apiUrl, apiKey, apiSecret }: EmqxStandIn) => ({
    ...{ EMQX_URL: apiUrl, EMQX_API_KEY: apiKey, EMQX_API_SECRET: apiSecret },
  });
  const standIn = async () => {
    const emqx = await EmqxStandIn.start();
    stops.unshift(() => emqx.stop());
    return emqx;
  };
  const post = async (event: unknown): Promise<number> => {
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(`${server.url}/v1/events`, { method: 'POST', headers, body: JSON.stringify(event) });
    await answer.arrayBuffer();
    return answer.status;
  };
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  });
  afterAll(() => directory.remove());

  describe('at the start', () => {
    it('shows that the server listens, EMQX answers and the server is ready', async () => {
      const emqx = await standIn();
      await start(emqxSettings(emqx));
      await server.ready();
      await waitFor('EMQX', () => about('EMQX_URL').length > 0 || lines().some(({ msg }) => msg.includes('answers')));
      expect(lines().map(({ msg }) => msg)).toEqual(
        expect.arrayContaining(['listening', 'ready', `EMQX_URL: EMQX 5.8.9 at ${emqx.apiUrl} answers, 1 node`]),
      );
      expect(lines().find(({ msg }) => msg === 'listening')).toMatchObject({ url: server.url, store: 'embedded:', queue: 'embedded:' });
      expect(lines().find(({ msg }) => msg === 'ready')?.['ready_ms']).toBeGreaterThan(0);
      expect(troubles()).toEqual([]);
    });

    it.each([
      [{ status: 401, body: { code: 'BAD_API_KEY_OR_SECRET' } }, /EMQX_API_KEY \/ EMQX_API_SECRET: refused by EMQX \(401/],
      [{ status: 404, body: '' }, /answered 404 to GET \/nodes.*\/api\/v5/],
      [{ status: 503, body: '' }, /EMQX answered 503/],
    ])('shows one line about an error of EMQX, and events are accepted: %j', async (answer, message) => {
      const stub = await Stub.start(answer);
      stops.unshift(() => stub.stop());
      await start({ EMQX_URL: stub.url, EMQX_API_KEY: 'k', EMQX_API_SECRET: 's' });
      await server.ready();
      await waitFor('the line', () => about('EMQX_URL').length > 0);
      await expect(post(publishEvent({ topic: 'a/b' }))).resolves.toBe(202);
      expect(troubles()).toEqual([expect.objectContaining({ level: 'warn', msg: expect.stringMatching(message), dependency: 'EMQX' })]);
    });

    it('shows that EMQX is unreachable, and when it is reachable', async () => {
      // Nobody listens on port 1. A port that was free a moment ago may be another test's by now.
      await start({ EMQX_URL: 'http://127.0.0.1:1/api/v5', EMQX_API_KEY: 'k', EMQX_API_SECRET: 's' });
      await waitFor('the line', () => about('EMQX_URL').length > 0);
      expect(about('EMQX_URL')[0]).toMatchObject({ level: 'warn', code: 'ECONNREFUSED' });
      expect(about('EMQX_URL')[0]?.msg).toMatch(
        /^EMQX_URL: not available yet: cannot connect to http.*ECONNREFUSED\); start it, or correct EMQX_URL; messages are stored/,
      );
    });

    it('shows that nothing is delivered without an API key', async () => {
      await start({});
      await server.ready();
      expect(troubles().map(({ msg }) => msg)).toEqual([expect.stringContaining('EMQX_API_KEY and EMQX_API_SECRET are not set')]);
    });
  });

  it('has one line at the start and one at the end of an outage of EMQX', async () => {
    const emqx = await standIn();
    await start(emqxSettings(emqx));
    await server.ready();
    await waitFor('EMQX', () => lines().some(({ msg }) => msg.includes('answers')));
    emqx.rest.outage = 503;
    for (let i = 0; i < 50; i++) await post([publishEvent({ topic: `gone/${i}` }), subscribedEvent(`c${i}`, `gone/${i}`)]);
    await waitFor('the first line', () => about('EMQX_URL').length > 0);
    // Longer than the pauses between two tries of a lane.
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    emqx.rest.outage = null;
    await waitFor('the second line', () => about('EMQX_URL').length > 1);
    expect(about('EMQX_URL').map(({ level, msg }) => [level, msg])).toEqual([
      ['warn', expect.stringMatching(/^EMQX_URL: requests fail: EMQX answered 503.*; messages are stored, and will be delivered/)],
      ['info', expect.stringMatching(/^EMQX_URL: requests succeed again after \d+ s$/)],
    ]);
    expect(troubles()).toHaveLength(1);
    expect(text).not.toContain('"stack"');
  }, 60_000);

  it('has each event with its id, client and topic at debug', async () => {
    await start({}, 'debug');
    await server.ready();
    const event = publishEvent({ topic: 'a/b', clientid: 'sensor\n1' });
    await post(event);
    expect(lines().find(({ msg }) => msg === 'event accepted')).toMatchObject({
      ...{ event: 'message.publish', event_id: event['id'], clientid: 'sensor\n1', topic: 'a/b' },
    });
  });

  withBackends(['redis'], ({ redis }) => {
    const proxied = async () => {
      const url = redisOf('server/dependency-log', redis);
      await emptyRedis(url);
      const proxy = await Proxy.to(url);
      stops.unshift(() => proxy.close());
      return proxy;
    };

    it.each(['STORE_URL', 'QUEUE_URL'])(
      'has one line at the start and one at the end of an outage of %s',
      async (setting) => {
        const proxy = await proxied();
        const emqx = await standIn();
        await start({ ...emqxSettings(emqx), [setting]: proxy.url });
        await server.ready();
        await expect(post(publishEvent({ topic: 'a/b' }))).resolves.toBe(202);
        proxy.cut();
        const statuses = new Set<number>();
        for (let i = 0; i < 10; i++) {
          const answers = Array.from({ length: 100 }, (_, j) => post(publishEvent({ topic: `a/${i}/${j}` })));
          for (const status of await Promise.all(answers)) statuses.add(status);
        }
        expect([...statuses]).toEqual([setting === 'STORE_URL' ? 202 : 503]);
        await waitFor('the first line', () => about(setting).length > 0);
        await new Promise((resolve) => setTimeout(resolve, 2_000));
        proxy.restore();
        await waitFor('the second line', () => about(setting).length > 1, 40_000);
        expect(about(setting).map(({ level, msg }) => [level, msg])).toEqual([
          ['warn', expect.stringMatching(new RegExp(`^${setting}: connection lost: .*; events are `))],
          ['info', expect.stringMatching(new RegExp(`^${setting}: connected again after \\d+ s$`))],
        ]);
        // Beside the first of them: the requests that were refused, in one line.
        const others = troubles().filter((line) => line['setting'] !== setting);
        expect(others.map(({ msg }) => msg)).toEqual(setting === 'STORE_URL' ? [] : ['request refused: queue unavailable']);
        expect(text).not.toContain('"stack"');
        await waitFor('events to be taken again', async () => (await post(publishEvent({ topic: 'a/b' }))) === 202);
      },
      90_000,
    );
  });
});
