import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createMetrics } from '../../src/base/metrics';
import { HttpConnection } from '../../src/emqx/http';
import { observeEmqx } from '../../src/ops/emqx-requests';

/** The metrics that requests to EMQX change. */
describe('requests to EMQX', () => {
  let server: Server;
  let url: string;
  beforeAll(async () => {
    // The path says what to answer: /answer/403; /silence is never answered.
    server = createServer((req, res) => {
      if (req.url === '/silence') return;
      res.writeHead(Number(/\d{3}$/.exec(req.url ?? '')?.[0] ?? 200)).end('{}');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  const metricsOf = async (
    requests: readonly { readonly path: string; readonly abort?: boolean }[],
    base = url,
  ): Promise<{ seen: Record<string, number>; errors: Record<string, number> }> => {
    const metrics = createMetrics();
    const http = new HttpConnection({ url: base, apiKey: 'k', apiSecret: 's', observe: observeEmqx(metrics) });
    for (const { path, abort } of requests) {
      const controller = new AbortController();
      if (abort === true) setTimeout(() => controller.abort(new Error('stop')), 50);
      // On a busy machine an answer may take a moment.
      await http
        .exchange({ method: 'GET', path, timeoutMs: path === '/silence' ? 200 : 20_000, signal: controller.signal })
        .catch(() => undefined);
    }
    http.close();
    const { values: seen } = await metrics.emqxDuration.get();
    const { values: errors } = await metrics.emqxErrors.get();
    const counts = seen.filter(({ metricName }) => metricName === 'emqx_offline_emqx_request_duration_seconds_count');
    return {
      seen: Object.fromEntries(counts.map(({ labels, value }) => [String(labels.operation), value])),
      errors: Object.fromEntries(errors.map(({ labels, value }) => [`${String(labels.operation)} ${String(labels.kind)}`, value])),
    };
  };

  test('are counted by operation, not by client', async () => {
    const { seen, errors } = await metricsOf([{ path: '/clients/a%20b' }, { path: '/clients/c?x=1' }, { path: '/nodes' }]);
    expect(seen).toEqual({ 'GET /clients/{clientid}': 2, 'GET /nodes': 1 });
    expect(errors).toEqual({});
  });

  test('that fail are counted by kind', async () => {
    const paths = ['/200', '/202', '/400', '/401', '/403', '/404', '/429', '/500', '/503'].map((path) => ({ path }));
    expect((await metricsOf(paths)).errors).toEqual({
      'GET /400 rejected': 1,
      'GET /401 auth': 1,
      'GET /403 auth': 1,
      'GET /404 not_found': 1,
      'GET /429 rejected': 1,
      'GET /500 server_error': 1,
      'GET /503 server_error': 1,
    });
  });

  test('about a client that is not connected do not count as failed', async () => {
    expect(await metricsOf([{ path: '/clients/404' }])).toEqual({ seen: { 'GET /clients/{clientid}': 1 }, errors: {} });
  });

  test('without an answer and without a connection are counted separately', async () => {
    expect(await metricsOf([{ path: '/silence' }])).toEqual({ seen: { 'GET /silence': 1 }, errors: { 'GET /silence no_answer': 1 } });
    expect(await metricsOf([{ path: '/silence', abort: true }])).toEqual({ seen: {}, errors: {} });
    // The discard port: nobody listens there.
    expect((await metricsOf([{ path: '/nodes' }], 'http://127.0.0.1:9')).errors).toEqual({ 'GET /nodes connection': 1 });
  });
});
