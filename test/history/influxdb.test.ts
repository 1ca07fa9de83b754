import fc from 'fast-check';
import { ClosedError, RetryableError } from '../../src/base/errors';
import type { Message } from '../../src/mqtt/message';
import { caFile, withBackends } from '../support/backends';
import { answeredHealth } from '../support/health';
import { message } from '../support/messages';
import { TlsProxy } from '../support/tls-proxy';
import { changed, openSink, withSink, withTemplates } from './sinks';
import { Stub } from './stub';

const DATABASE = 'history_test';

interface Series {
  readonly columns: readonly string[];
  readonly values: readonly (readonly unknown[])[];
}

describe('a history on InfluxDB', () => {
  withBackends(['influxdb'], ({ influxdb }) => {
    const url = changed(influxdb, { path: DATABASE });
    const ask = async (q: string): Promise<Series[]> => {
      const answer = await fetch(
        `http://${new URL(influxdb).host}/query?${new URLSearchParams({ db: DATABASE, q, epoch: 'ns' }).toString()}`,
        { method: 'POST' },
      );
      const { results } = (await answer.json()) as { results: { series?: Series[]; error?: string }[] };
      expect(results[0]?.error).toBeUndefined();
      return results[0]?.series ?? [];
    };
    const stored = async (measurement = 'mqtt_msg'): Promise<Record<string, unknown>[]> => {
      const [series] = await ask(`SELECT * FROM "${measurement}"`);
      return (series?.values ?? []).map((row) => Object.fromEntries(row.map((value, i) => [series?.columns[i] ?? '', value])));
    };
    const appended = (messages: readonly Message[], params: Record<string, string> = {}) =>
      withSink(changed(url, { params }), (sink) => sink.append(messages));

    beforeEach(async () => {
      await ask(`DROP DATABASE ${DATABASE}`);
      await ask(`CREATE DATABASE ${DATABASE}`);
    });
    afterAll(() => ask(`DROP DATABASE ${DATABASE}`));

    it('stores a message as one point', async () => {
      const payload = 'line 1\nline "2" \\ é😀 , = ';
      const one = message({ topic: 'a b/c,d=é', clientid: 'client "1"', payload: Buffer.from(payload), qos: 2 });
      expect(await appended([one])).toEqual([]);
      expect(await stored()).toEqual([
        { time: expect.any(Number) as number, topic: one.topic, clientid: one.clientid, qos: '2', id: one.id, payload },
      ]);
    });

    it('stores any payload', async () => {
      const text = message({ topic: 'big', payload: Buffer.from('x'.repeat(1_000_000)) });
      const bytes = message({ topic: 'bytes', payload: Buffer.from([0, 255, 1]) });
      const empty = message({ topic: 'empty', payload: Buffer.alloc(0) });
      const nul = message({ topic: 'nul', payload: Buffer.from('a\0b') });
      expect(await appended([text, bytes, empty, nul])).toEqual([]);
      const rows = new Map((await stored()).map((row) => [row['topic'], row]));
      expect(rows.get('big')?.['payload'] === 'x'.repeat(1_000_000)).toBe(true);
      expect(rows.get('bytes')).toMatchObject({ payload: null, payload_base64: 'AP8B' });
      expect(rows.get('empty')).toMatchObject({ payload: '', payload_base64: null });
      expect(rows.get('nul')).toMatchObject({ payload: 'a\0b' });
    });

    it('stores a batch once when it is appended repeatedly', async () => {
      const batch = Array.from({ length: 50 }, (_, i) => message({ topic: `t/${i % 3}`, payload: Buffer.from(String(i)) }));
      for (let i = 0; i < 3; i++) expect(await appended([...batch, ...batch])).toEqual([]);
      expect((await stored()).map(({ id }) => id).sort()).toEqual(batch.map(({ id }) => id));
    });

    // The guard is the tie of timeOf(): without it one is left.
    it('keeps separate points for messages of one series and microsecond', async () => {
      const { id, publishReceivedAt } = message({ topic: 't' });
      const batch = Array.from({ length: 200 }, (_, i) =>
        message({ topic: 't', id: `${id.slice(0, 28)}${(i + 10).toString(16).padStart(4, '0').toUpperCase()}`, publishReceivedAt }),
      );
      expect(await appended(batch)).toEqual([]);
      expect(await stored()).toHaveLength(200);
    });

    // The guard is expressible(): without it a tag swallows what comes after it, the next line included.
    it('accepts any text as tag and as field', async () => {
      const part = fc.constantFrom('\\', '"', ',', '=', ' ', '\n', '\r', '\t', '#', "'", 'a', '1i', 'é', '😀', '\u0001', '\ufffd');
      const text = fc.array(part, { minLength: 1, maxLength: 6 }).map((parts) => parts.join(''));
      await withTemplates(
        {
          '#': { measurement: '$topic', tags: { a: ['$payload', 'a'], b: ['$payload', 'b'] }, fields: { f: ['$payload', 'a'], g: '$id' } },
        },
        async (file) => {
          const pairs = fc.sample(fc.tuple(text, text), 500);
          const batch = pairs.map(([a, b]) => message({ topic: 'any', payload: Buffer.from(JSON.stringify({ a, b })) }));
          expect(await appended(batch, { templates: file })).toEqual([]);
          const rows = new Map((await stored('any')).map((row) => [row['g'], row]));
          const shown = (tag: string) =>
            tag
              .replace(/\n/g, '\\n')
              .replace(/\r/g, '\\r')
              .replace(/\\(?=[,= ]|$)/g, '\\_');
          for (const [i, [a, b]] of pairs.entries()) expect(rows.get(batch[i]?.id)).toMatchObject({ a: shown(a), b: shown(b), f: a });
        },
      );
    });

    it('stores all points of a template', async () => {
      const template = {
        sample: {
          measurement: '$topic',
          tags: {
            host: ['$payload', 'data', '$0', 'host'],
            region: ['$payload', 'data', '$0', 'region'],
            qos: '$qos',
            clientid: '$clientid',
            peer: '$peerhost',
          },
          fields: { temperature: ['$payload', 'data', '$0', 'temp'] },
          timestamp: '$timestamp',
        },
      };
      const data = [
        { temp: 1, host: 'serverA', region: 'hangzhou' },
        { temp: 2.5, host: 'serverB', region: 'ningbo' },
      ];
      const one = message({ topic: 'sample', clientid: 'mqttjs_ebcc36079a', qos: 0, payload: Buffer.from(JSON.stringify({ data })) });
      const other = message({ topic: 'other' });
      await withTemplates(template, async (file) => expect(await appended([one, other], { templates: file })).toEqual([]));
      const same = { qos: '0', clientid: 'mqttjs_ebcc36079a' };
      expect(await stored('sample')).toEqual([
        { time: expect.any(Number) as number, ...same, host: 'serverA', region: 'hangzhou', temperature: 1 },
        { time: expect.any(Number) as number, ...same, host: 'serverB', region: 'ningbo', temperature: 2.5 },
      ]);
      expect(await stored('other')).toEqual([]);
    });

    it('rejects only the messages that InfluxDB rejects or that have no point', async () => {
      const template = { '#': { measurement: 'm', tags: { id: '$id' }, fields: { v: ['$payload', 'v'] } } };
      await withTemplates(template, async (file) => {
        const payloads = ['{"v":0}', '{"v":1}', '{"v":"text"}', '{"w":1}', 'no JSON', '{"v":2}', `{"v":"x"}`, '{"v":3}'];
        const batch = payloads.map((payload) => message({ topic: 't', payload: Buffer.from(payload) }));
        expect(await appended(batch.slice(0, 1), { templates: file })).toEqual([]);
        const refusals = new Map((await appended(batch, { templates: file })).map(({ id, reason }) => [id, reason]));
        expect(batch.map(({ id }) => refusals.get(id) ?? null)).toEqual([
          null,
          null,
          expect.stringMatching(
            /^InfluxDB: partial write: field type conflict: input field "v" .* is type string, already exists as type float/,
          ),
          'makes no data point: the payload has no value for the template of "#"',
          'makes no data point: the payload is not JSON',
          null,
          expect.stringContaining('field type conflict'),
          null,
        ]);
        expect((await stored('m')).map(({ v }) => v)).toEqual([0, 1, 2, 3]);
      });
    });

    it('rejects only a topic that is too long for a series', async () => {
      const [long, short] = [message({ topic: 'x'.repeat(65_535) }), message({ topic: 'short' })];
      expect(await appended([long, short])).toEqual([
        { id: long.id, reason: expect.stringContaining('max key length exceeded') as string },
      ]);
      expect((await stored()).map(({ topic }) => topic)).toEqual(['short']);
    });

    it('writes into the retention policy that the URL names', async () => {
      await ask(`CREATE RETENTION POLICY "two weeks" ON ${DATABASE} DURATION 2w REPLICATION 1`);
      const one = message({ topic: 't' });
      expect(await appended([one], { retentionPolicy: 'two weeks' })).toEqual([]);
      expect(await stored()).toEqual([]);
      const [series] = await ask(`SELECT id FROM "two weeks"."mqtt_msg"`);
      expect(series?.values[0]?.[1]).toBe(one.id);
    });

    it('is healthy, and migrate changes nothing', async () => {
      await withSink(url, async (sink) => {
        await sink.migrate();
        expect(await answeredHealth(sink)).toEqual({
          ok: true,
          detail: expect.stringMatching(/^InfluxDB 1\.\d+.*, database history_test$/) as string,
        });
        expect(sink.name).toBe(`influxdb://${new URL(influxdb).host}/${DATABASE}`);
      });
      expect(await ask('SHOW MEASUREMENTS')).toEqual([]);
    });

    it.each<[string, Parameters<typeof changed>[1], RegExp]>([
      [
        'a host that is not there',
        { port: 1 },
        /^HISTORY_URLS: cannot connect to InfluxDB at 127\.0\.0\.1:1 \(ECONNREFUSED\): check host and port$/,
      ],
      ['a database that is not there', { path: 'absent' }, /^HISTORY_URLS: .*database not found: "absent": create the database first$/],
      [
        'a retention policy that is not there',
        { params: { retentionPolicy: 'absent' } },
        /^HISTORY_URLS: .*retention policy not found: absent: check retentionPolicy=$/,
      ],
      ['TLS that is not there', { params: { tls: 'true' } }, /^HISTORY_URLS: InfluxDB at .* doesn't answer in TLS .*check port and tls=$/],
    ])('names the setting for %s, and keeps the messages for later', async (_, changes, expected) => {
      await withSink(changed(url, changes), async (sink) => {
        const { ok, detail } = await answeredHealth(sink);
        expect(ok).toBe(false);
        expect(detail).toMatch(expected);
        await expect(sink.append([message({ topic: 't' })])).rejects.toThrow(RetryableError);
      });
    });

    it('uses TLS only with a trusted server', async () => {
      const { hostname, port } = new URL(influxdb);
      const proxy = await TlsProxy.to(hostname, Number(port));
      try {
        const one = message({ topic: 'tls' });
        await withSink(changed(url, { port: proxy.port, params: { ca: caFile() } }), async (sink) => {
          expect(await answeredHealth(sink)).toMatchObject({ ok: true });
          expect(await sink.append([one])).toEqual([]);
        });
        expect((await stored()).map(({ id }) => id)).toEqual([one.id]);
        await withSink(changed(url, { port: proxy.port, params: { tls: 'true' } }), async (sink) => {
          const { ok, detail } = await answeredHealth(sink);
          expect(ok).toBe(false);
          expect(detail).toMatch(/^HISTORY_URLS: InfluxDB at .*: its certificate is not trusted \(\w+\): check ca= and the host name$/);
        });
        await withSink(changed(url, { port: proxy.port }), async (sink) => {
          expect((await answeredHealth(sink)).detail).toMatch(/^HISTORY_URLS: .*check port and tls=$/);
        });
      } finally {
        await proxy.close();
      }
    });
  });

  describe('other answers of InfluxDB', () => {
    it.each<[number, string, RegExp]>([
      [
        401,
        'authorization failed',
        /^HISTORY_URLS: InfluxDB at .* rejected the login \(401 authorization failed\): check user, password and rights$/,
      ],
      [403, '"u" user is not authorized to write to database "d"', /rejected the login \(403/],
      [503, 'out of memory', /is in trouble \(503 out of memory\)$/],
      [429, 'slow down', /is in trouble \(429/],
    ])('with status %d are retried', async (status, error, expected) => {
      const stub = await Stub.start(() => [status, { error }]);
      const sink = await openSink(`influxdb://u:s%40crt@${stub.host}/d`);
      const { ok, detail } = await answeredHealth(sink);
      expect(ok).toBe(false);
      expect(detail).toMatch(expected);
      expect(detail).not.toContain('crt');
      await expect(sink.append([message({ topic: 't' })])).rejects.toThrow(RetryableError);
      expect(stub.asked[0]?.authorization).toBe(`Basic ${Buffer.from('u:s@crt').toString('base64')}`);
      await sink.close();
      await stub.close();
    });

    it('with status 413 make the requests smaller', async () => {
      const stub = await Stub.start(({ body }) => (body.split('\n').length > 2 ? [413, { error: 'Request Entity Too Large' }] : [204]));
      const batch = Array.from({ length: 5 }, () => message({ topic: 't' }));
      await withSink(`influxdb://${stub.host}/d`, async (sink) => expect(await sink.append(batch)).toEqual([]));
      const taken = stub.asked.map(({ body }) => body.split('\n')).filter((lines) => lines.length <= 2);
      expect(taken.flat()).toHaveLength(5);
      await stub.close();
    });

    it('confirm a large batch in requests under 5 MB', async () => {
      const stub = await Stub.start(() => [204]);
      const batch = Array.from({ length: 20 }, () => message({ topic: 't', payload: Buffer.alloc(1_000_000, 'x') }));
      await withSink(`influxdb://${stub.host}/d`, async (sink) => expect(await sink.append(batch)).toEqual([]));
      expect(Math.max(...stub.asked.map(({ body }) => body.length))).toBeLessThan(5_000_000);
      expect(stub.asked.length).toBeLessThan(10);
      await stub.close();
    });
  });

  it('cannot be used after it is closed', async () => {
    const sink = await openSink('influxdb://127.0.0.1:1/d');
    await sink.close();
    await sink.close();
    await expect(sink.append([message({ topic: 't' })])).rejects.toThrow(ClosedError);
    await expect(sink.migrate()).rejects.toThrow(ClosedError);
    expect((await sink.health()).ok).toBe(false);
  });
});
