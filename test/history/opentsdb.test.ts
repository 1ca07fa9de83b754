import { ClosedError, RetryableError } from '../../src/base/errors';
import type { Message } from '../../src/mqtt/message';
import { caFile, withBackends } from '../support/backends';
import { answeredHealth } from '../support/health';
import { message, newId } from '../support/messages';
import { TlsProxy } from '../support/tls-proxy';
import { waitFor } from '../support/wait';
import { changed, openSink, withSink, withTemplates } from './sinks';
import { Stub } from './stub';

interface Exported {
  readonly metric: Readonly<Record<string, string>>;
  readonly values: readonly number[];
  readonly timestamps: readonly number[];
}

/** Metrics of a test's own: nothing can be removed from the server. */
const unique = () => `history.${newId()}`;

const millisecondOf = (one: Message | undefined) => Math.floor(parseInt(one?.id.slice(0, 16) ?? '', 16) / 1_000);

describe('a history on OpenTSDB', () => {
  withBackends(['opentsdb', 'opentsdb-query'], ({ opentsdb, 'opentsdb-query': query }) => {
    const stored = async (metric: string): Promise<Exported[]> => {
      await fetch(`${query}/internal/force_flush`);
      const match = encodeURIComponent(`{__name__="${metric}"}`);
      const lines = (await (await fetch(`${query}/api/v1/export?match[]=${match}`)).text()).split('\n').filter((line) => line !== '');
      return lines.map((line) => JSON.parse(line) as Exported);
    };
    /** What is written can be read a little later. */
    const storedSoon = (metric: string, series: number) =>
      waitFor(`${series} series of ${metric}`, async () => {
        const found = await stored(metric);
        return found.length >= series ? found : null;
      });
    const appended = (messages: readonly Message[], params: Record<string, string> = {}) =>
      withSink(changed(opentsdb, { params }), (sink) => sink.append(messages));
    const number = (fields: Partial<Message> & Pick<Message, 'topic'>, value: unknown) =>
      message({ payload: Buffer.from(JSON.stringify(value)), ...fields });

    it('stores numbers without a template, and rejects only other payloads', async () => {
      const clientid = newId();
      const batch = [
        number({ topic: 'room 1/temp', clientid }, 21.5),
        number({ topic: 'x', clientid }, 'warm'),
        number({ topic: 'room 2/temp', clientid }, -3),
      ];
      expect(await appended(batch)).toEqual([{ id: batch[1]?.id, reason: 'value: "\\"warm\\"" is no number' }]);
      const found = await waitFor('both', async () => {
        const series = (await stored('mqtt_msg')).filter(({ metric }) => metric['clientid'] === clientid);
        return series.length === 2 ? series : null;
      });
      expect(found.map(({ metric, values, timestamps }) => [metric['topic'], values, timestamps]).sort()).toEqual([
        ['room_1/temp', [21.5], [millisecondOf(batch[0])]],
        ['room_2/temp', [-3], [millisecondOf(batch[2])]],
      ]);
    });

    it('stores all points of a template', async () => {
      const measurement = unique();
      const template = {
        'sensor/+': [
          {
            measurement,
            tags: { host: ['$payload', '$0', 'host'], qos: '$qos' },
            value: ['$payload', '$0', 'temp'],
            timestamp: ['$payload', '$0', 'at'],
          },
        ],
      };
      const one = number({ topic: 'sensor/1' }, [
        { host: 'a', temp: 1, at: 1_700_000_000 },
        { host: 'é', temp: 2.25, at: 1_700_000_000_123 },
        { host: 'c' },
      ]);
      await withTemplates(template, async (file) => {
        expect(await appended([one, number({ topic: 'other' }, 'ignored')], { templates: file })).toEqual([]);
      });
      const found = await storedSoon(measurement, 2);
      expect(found.map(({ metric, values, timestamps }) => [metric['host'], metric['qos'], values, timestamps]).sort()).toEqual([
        ['a', '1', [1], [1_700_000_000_000]],
        ['é', '1', [2.25], [1_700_000_000_123]],
      ]);
    });

    it('writes the same points when a batch is appended again', async () => {
      const measurement = unique();
      const batch = Array.from({ length: 120 }, (_, i) => number({ topic: `t/${i}` }, i));
      await withTemplates({ '#': { measurement, tags: { topic: '$topic' }, value: '$payload' } }, async (file) => {
        for (let i = 0; i < 2; i++) expect(await appended(batch, { templates: file })).toEqual([]);
      });
      const found = await waitFor('all', async () => {
        const series = await stored(measurement);
        return series.length === 120 ? series : null;
      });
      // VictoriaMetrics keeps a point that is written twice until it deduplicates; it is the same point of the same series.
      for (const { values, timestamps } of found) expect([new Set(values).size, new Set(timestamps).size]).toEqual([1, 1]);
    });

    it('is healthy', async () => {
      await withSink(opentsdb, async (sink) => {
        await sink.migrate();
        expect(await answeredHealth(sink)).toEqual({ ok: true, detail: 'OpenTSDB of unknown version' });
        expect(sink.name).toBe(opentsdb);
      });
    });

    it('names the setting for an absent host and for another kind of server', async () => {
      await withSink(changed(opentsdb, { port: 1 }), async (sink) => {
        expect(await answeredHealth(sink)).toEqual({
          ok: false,
          detail: 'HISTORY_URLS: cannot connect to OpenTSDB at 127.0.0.1:1 (ECONNREFUSED): check host and port',
        });
        await expect(sink.append([number({ topic: 't' }, 1)])).rejects.toThrow(RetryableError);
      });
      const stub = await Stub.start(() => [404, 'no such page']);
      await withSink(`opentsdb://${stub.host}`, async (sink) => {
        const { ok, detail } = await answeredHealth(sink);
        expect(ok).toBe(false);
        expect(detail).toMatch(/^HISTORY_URLS: OpenTSDB at .* answered 404 no such page: check host and port$/);
      });
      await stub.close();
    });

    it('uses TLS', async () => {
      const { hostname, port } = new URL(opentsdb);
      const proxy = await TlsProxy.to(hostname, Number(port));
      try {
        await withSink(changed(opentsdb, { port: proxy.port, params: { ca: caFile() } }), async (sink) => {
          expect(await answeredHealth(sink)).toMatchObject({ ok: true });
          expect(await sink.append([number({ topic: 't' }, 1)])).toEqual([]);
        });
        await withSink(changed(opentsdb, { port: proxy.port, params: { tls: 'true' } }), async (sink) => {
          expect((await answeredHealth(sink)).detail).toMatch(/^HISTORY_URLS: OpenTSDB at .*: its certificate is not trusted/);
        });
      } finally {
        await proxy.close();
      }
    });
  });

  /** The server of the tests says nothing of this: the answers are those of OpenTSDB's documentation and source. */
  describe('answers of OpenTSDB itself', () => {
    const put = (answer: (values: number[]) => readonly [number, unknown?]) =>
      Stub.start(({ path, body }) =>
        path === '/api/version' ? [200, { version: '2.4.1' }] : answer((JSON.parse(body) as { value: number }[]).map(({ value }) => value)),
      );
    const batch = Array.from({ length: 20 }, (_, i) => message({ topic: 't', payload: Buffer.from(String(i)) }));

    it('reject only the invalid points, with their reason', async () => {
      const taken = new Set<number>();
      const stub = await put((values) => {
        const wrong = values.filter((value) => [7, 15].includes(value));
        for (const value of values) if (!wrong.includes(value)) taken.add(value);
        if (wrong.length === 0) return [200, { success: values.length, failed: 0, errors: [] }];
        const errors = wrong.map((value) => ({ datapoint: { metric: 'mqtt_msg', value }, error: 'Unknown metric' }));
        return [400, { success: values.length - wrong.length, failed: wrong.length, errors }];
      });
      await withSink(`opentsdb://${stub.host}`, async (sink) => {
        expect(await sink.append(batch)).toEqual(
          [batch[7], batch[15]].map((each) => ({ id: each?.id, reason: 'OpenTSDB: Unknown metric' })),
        );
        expect(await answeredHealth(sink)).toEqual({ ok: true, detail: 'OpenTSDB 2.4.1' });
      });
      expect(taken.size).toBe(18);
      await stub.close();
    });

    it('are not taken for an outage because of a quoted message', async () => {
      const stub = await put((values) => [
        400,
        { failed: values.length, errors: [{ error: 'Invalid tag value ("alarm/timeout"): illegal character' }] },
      ]);
      await withSink(`opentsdb://${stub.host}`, async (sink) => expect(await sink.append(batch.slice(0, 1))).toHaveLength(1));
      await stub.close();
    });

    it('about an empty request count as healthy', async () => {
      const stub = await put(() => [400, { error: { code: 400, message: 'No datapoints found in content' } }]);
      await withSink(`opentsdb://${stub.host}`, async (sink) =>
        expect(await answeredHealth(sink)).toEqual({ ok: true, detail: 'OpenTSDB 2.4.1' }),
      );
      await stub.close();
    });

    it.each<[string, readonly [number, unknown]]>([
      ['its storage fails', [400, { failed: 1, errors: [{ error: 'Storage exception occurred' }] }]],
      ['its storage is overloaded', [400, { failed: 1, errors: [{ error: 'Please throttle writes' }] }]],
      ['it fails', [500, { error: { code: 500, message: 'Internal Server Error' } }]],
      ['it refuses the login', [401, '']],
    ])('let the messages be retried: %s', async (_, answer) => {
      const stub = await put(() => answer);
      await withSink(`opentsdb://${stub.host}`, (sink) => expect(sink.append(batch)).rejects.toThrow(RetryableError));
      await stub.close();
    });
  });

  it('cannot be used after it is closed', async () => {
    const sink = await openSink('opentsdb://127.0.0.1:1');
    await sink.close();
    await sink.close();
    await expect(sink.append([message({ topic: 't' })])).rejects.toThrow(ClosedError);
    await expect(sink.migrate()).rejects.toThrow(ClosedError);
    expect((await sink.health()).ok).toBe(false);
  });
});
