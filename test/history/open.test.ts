import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { parseServiceUrl } from '../../src/config/url';
import { SettingError } from '../../src/base/errors';
import { openHistory } from '../../src/history';
import { healthInTime } from '../support/health';
import { message } from '../support/messages';
import { openSink, withSink } from './sinks';
import { Stub } from './stub';

const url = (text: string) => parseServiceUrl(text, ['influxdb', 'opentsdb', 'timescale', 'clickhouse', 'mysql']);

describe('opening HISTORY_URLS', () => {
  it('opens a history for each URL, without secrets in their names', async () => {
    const sinks = await openHistory(
      ['influxdb://u:secret@a/d', 'opentsdb://u:secret@[::1]:4242', 'timescale://u:secret@c:1/d', 'clickhouse://d:2/e'].map(url),
    );
    expect(sinks.map(({ name }) => name)).toEqual(['influxdb://a/d', 'opentsdb://[::1]:4242', 'timescale://c:1/d', 'clickhouse://d:2/e']);
    for (const sink of sinks) await sink.close();
    expect(await openHistory([])).toEqual([]);
  });

  it.each([
    ['influxdb://a', 'influxdb:// needs the name of a database: influxdb://host:port/database'],
    ['influxdb://a,b/d', 'influxdb:// takes one host'],
    ['influxdb://a/d?token=secret', 'influxdb:// has no parameter "token"; known are tls, ca, templates, retentionPolicy'],
    ['influxdb://a/d?tls=yes', 'tls=yes is unknown; write tls=true or tls=false'],
    ['influxdb://a/d?ca=/absent.pem', "the file of ca= can't be read (ENOENT)"],
    ['influxdb://a/d?templates=/absent.json', "templates=/absent.json: can't be read (ENOENT)"],
    ['opentsdb://a/d', 'opentsdb:// has no databases: remove what follows the host'],
    ['opentsdb://a?retentionPolicy=x', 'opentsdb:// has no parameter "retentionPolicy"; known are tls, ca, templates'],
    ['timescale://a', 'timescale:// needs the name of a database: timescale://host:port/database'],
    ['timescale://a,b/d', 'timescale:// takes one host'],
    ['timescale://a/d?sslmode=require', 'timescale:// has no parameter "sslmode"; known are tls, ca, templates'],
    ['clickhouse://a', 'clickhouse:// needs the name of a database: clickhouse://host:port/database'],
    ['clickhouse://a/d?templates=x', 'clickhouse:// has no parameter "templates"; known are tls, ca'],
    ['mysql://a/d', 'no history for mysql://'],
  ])('rejects %s', async (text, expected) => {
    const opening = openHistory([url('influxdb://fine/d'), url(text)]);
    await expect(opening).rejects.toThrow(SettingError);
    await expect(opening).rejects.toThrow(`HISTORY_URLS: ${expected}`);
  });
});

it('every history reports within 3 s that its server does not answer', async () => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => void sockets.push(socket.unref().on('error', () => undefined)))
    .unref()
    .listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const sinks = await Promise.all(
    ['influxdb', 'opentsdb', 'timescale', 'clickhouse'].map((scheme) =>
      openSink(`${scheme}://127.0.0.1:${port}${scheme === 'opentsdb' ? '' : '/d'}`),
    ),
  );
  for (const health of await Promise.all(sinks.map((sink) => healthInTime(sink)))) {
    expect(health).toEqual({
      ok: false,
      detail: expect.stringMatching(/^HISTORY_URLS: .* gives no answer: check host, port and tls=$/) as string,
    });
  }
  for (const socket of sockets) socket.destroy();
  for (const sink of sinks) await sink.close();
  server.close();
  await once(server, 'close');
});

it.each<[string, string, number, number]>([
  ['influxdb', '/d', 1, 1],
  // 50 points and 4,000 bytes a request.
  ['opentsdb', '', 1, 7],
  ['clickhouse', '/d', 1, 1],
])('a history on %s:// writes a batch in few requests', async (scheme, path, for16, for256) => {
  const stub = await Stub.start(() => [scheme === 'influxdb' ? 204 : 200]);
  await withSink(`${scheme}://${stub.host}${path}`, async (sink) => {
    for (const [n, requests] of [
      [16, for16],
      [256, for256],
    ] as const) {
      stub.asked.length = 0;
      const batch = Array.from({ length: n }, () => message({ topic: 't', clientid: 'c', payload: Buffer.from('1') }));
      expect(await sink.append(batch)).toEqual([]);
      expect(stub.asked).toHaveLength(requests);
    }
  });
  await stub.close();
});
