import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connectAsync, type MqttClient } from 'mqtt';
import { ruleV4Template } from '../../src/emqx/rules-v4';
import { waitFor } from '../support/wait';
import { EmqxStandIn } from './index';

/** The stand-in as EMQX 4.4.19, by facts that were measured. */
describe('the stand-in for EMQX 4.4', () => {
  let emqx: EmqxStandIn;
  const clients: MqttClient[] = [];
  const servers: Server[] = [];
  beforeEach(async () => {
    emqx = await EmqxStandIn.start({}, 4);
  });
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.endAsync(true)));
    await emqx.stop();
    await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve).closeAllConnections())));
  });

  const api = async (method: string, path: string, body?: unknown, secret = emqx.apiSecret) => {
    const headers = {
      'content-type': 'application/json',
      authorization: `Basic ${Buffer.from(`${emqx.apiKey}:${secret}`).toString('base64')}`,
    };
    const answer = await fetch(`${emqx.apiUrl}${path}`, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) });
    return {
      status: answer.status,
      json: answer.status === 200 ? ((await answer.json()) as { code: number; data?: Record<string, unknown>[] }) : null,
    };
  };
  const subscriber = async (clientId: string, topic: string) => {
    const client = await connectAsync(emqx.mqttUrl, { clientId, reconnectPeriod: 0 });
    clients.push(client);
    const topics: string[] = [];
    client.on('message', (received) => topics.push(received));
    await client.subscribeAsync(topic, { qos: 1 });
    return topics;
  };
  /** Answers with `status`, and counts the events. */
  const sink = async (status: number) => {
    const seen: string[] = [];
    const server = createServer((request, response) => {
      seen.push(request.url ?? '');
      request.resume().on('end', () => response.writeHead(status).end());
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return { seen, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
  };
  const useRule = async (...urls: string[]) => {
    const { resources, rules } = ruleV4Template('offline-messages', { urls, topics: ['t/#'] });
    for (const resource of resources) await api('POST', '/resources', resource);
    for (const rule of rules) await api('POST', '/rules', rule);
  };

  test('answers HTTP 200 with a code, and 401 for a wrong key', async () => {
    expect(await api('GET', '/nodes')).toMatchObject({ status: 200, json: { code: 0, data: [{ version: '4.4.19' }] } });
    expect((await api('GET', '/nodes', undefined, 'wrong')).status).toBe(401);
    expect(await api('POST', '/mqtt/publish', { topic: 'nobody/there', payload: 'x' })).toEqual({ status: 200, json: { code: 0 } });
    expect(await api('POST', '/mqtt/publish', { topic: 'a/+', payload: 'x' })).toMatchObject({ status: 200, json: { code: 115 } });
    expect(await api('POST', '/mqtt/subscribe', { clientid: 'none', topic: 't', qos: 1 })).toMatchObject({
      status: 200,
      json: { code: 112 },
    });
    expect((await api('GET', '/clients/none')).json).toEqual({ code: 0, data: [] });
    expect((await api('GET', '/clients/none/mqueue_messages')).status).toBe(404);
  });

  test('splits a topic at a comma, and rejects only the bad entries of a batch', async () => {
    const topics = await subscriber('c', '#');
    const { json } = await api(
      'POST',
      '/mqtt/publish_batch',
      ['a,b', '+', 'c'].map((topic) => ({ topic, qos: 1, payload: 'x', clientid: 'p' })),
    );
    expect(json?.data?.map(({ code }) => code)).toEqual([0, 115, 0]);
    await waitFor('three messages', () => topics.length === 3);
    expect(topics).toEqual(['a', 'b', 'c']);
  });

  test.each([500, 503, 429])('loses an event that is answered with %i after one attempt', async (status) => {
    const { seen, url } = await sink(status);
    await useRule(url);
    await subscriber('c', 'other');
    await waitFor('the loss', () => emqx.action.lost.length === 2);
    expect([seen.length, emqx.pending]).toEqual([2, 0]);
  });

  test('sends an event to the fallback when the first server fails', async () => {
    const [first, second] = [await sink(503), await sink(202)];
    await useRule(first.url, second.url);
    await subscriber('c', 'other');
    await waitFor('both events', () => second.seen.length === 2);
    expect([first.seen, second.seen, emqx.action.lost]).toEqual([
      second.seen,
      ['/v1/events/client.connected', '/v1/events/session.subscribed'],
      [],
    ]);
  });
});
