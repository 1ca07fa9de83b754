import { ClosedError, RetryableError } from '../../src/base/errors';
import type { Message } from '../../src/mqtt/message';
import { caFile, withBackends, type BackendName } from '../support/backends';
import { answeredHealth } from '../support/health';
import { message } from '../support/messages';
import { TlsProxy } from '../support/tls-proxy';
import { changed, openSink, withSink } from './sinks';

const DATABASE = 'history_test';

type Row = Record<string, unknown>;

describe.each<BackendName>(['clickhouse', 'clickhouse-current'])('a history on %s', (name) => {
  withBackends([name], (urls) => {
    const server = urls[name];
    const url = changed(server, { path: DATABASE });
    const { host, hostname, port, username, password } = new URL(server);

    async function ask(query: string): Promise<Row[]> {
      const answer = await fetch(`http://${host}/?database=default&default_format=JSONEachRow&output_format_json_quote_64bit_integers=1`, {
        method: 'POST',
        headers: { 'X-ClickHouse-User': username, 'X-ClickHouse-Key': password },
        body: query,
      });
      const text = await answer.text();
      if (!answer.ok) throw new Error(text);
      return text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Row);
    }
    const stored = () => ask(`SELECT * FROM ${DATABASE}.mqtt_history FINAL ORDER BY msgid`);
    const appended = (messages: readonly Message[]) => withSink(url, (sink) => sink.append(messages));

    beforeAll(async () => {
      await ask(`DROP DATABASE IF EXISTS ${DATABASE}`);
      await ask(`CREATE DATABASE ${DATABASE}`);
      await withSink(url, (sink) => sink.migrate());
    });
    afterAll(() => ask(`DROP DATABASE ${DATABASE}`));
    beforeEach(() => ask(`TRUNCATE TABLE ${DATABASE}.mqtt_history`));

    it('stores every message as a row', async () => {
      const one = message({
        ...{
          topic: "a'\\\n\t/é😀",
          clientid: "c'; DROP TABLE x",
          username: 'u',
          qos: 2,
          retain: true,
          publishReceivedAt: 1_700_000_000_123,
        },
        payload: Buffer.from('tëxt "q" \\ \0 \n'),
        properties: { contentType: 'text/plain', userProperties: [{ key: 'k', value: 'v' }] },
      });
      const bytes = message({ topic: 'bytes', payload: Buffer.from([0, 255]) });
      const empty = message({ topic: 'empty', payload: Buffer.alloc(0) });
      expect(await appended([one, bytes, empty])).toEqual([]);
      const rows = new Map((await stored()).map((row) => [row['msgid'], row]));
      expect(rows.get(one.id)).toEqual({
        ...{ msgid: one.id, sender: one.clientid, username: 'u', topic: one.topic, qos: 2, retain: 1, arrived: '1700000000123' },
        ...{ payload: one.payload.toString(), payload_base64: '', properties: JSON.stringify(one.properties) },
      });
      expect(rows.get(bytes.id)).toMatchObject({ username: null, payload: '', payload_base64: 'AP8=' });
      expect(rows.get(empty.id)).toMatchObject({ payload: '', payload_base64: '' });
    });

    it('stores a batch once when it is appended repeatedly', async () => {
      const batch = Array.from({ length: 50 }, (_, i) => message({ topic: `t/${i % 3}` }));
      for (let i = 0; i < 3; i++) expect(await appended([...batch, ...batch])).toEqual([]);
      expect((await stored()).map(({ msgid }) => msgid)).toEqual(batch.map(({ id }) => id));
      await ask(`OPTIMIZE TABLE ${DATABASE}.mqtt_history FINAL`);
      expect(await ask(`SELECT toUInt32(count()) AS n FROM ${DATABASE}.mqtt_history`)).toEqual([{ n: 50 }]);
    });

    it('stores long topics and big payloads', async () => {
      const batch = [
        message({ topic: '😀'.repeat(16_383) }),
        message({ topic: 't', payload: Buffer.alloc(1_000_000, 'x') }),
        message({ topic: 't', payload: Buffer.alloc(5_000_000, 255) }),
      ];
      expect(await appended(batch)).toEqual([]);
      expect(await stored()).toHaveLength(3);
    });

    it('rejects only the messages that a view of the operator rejects', async () => {
      await ask(
        `CREATE MATERIALIZED VIEW ${DATABASE}.no_poison ENGINE = Memory AS SELECT throwIf(payload = 'poison') AS x FROM ${DATABASE}.mqtt_history`,
      );
      try {
        const batch = Array.from({ length: 10 }, (_, i) => message({ topic: 't', payload: Buffer.from(i % 9 === 4 ? 'poison' : 'fine') }));
        expect(await appended(batch)).toEqual([
          { id: batch[4]?.id, reason: expect.stringMatching(/^ClickHouse: .*throwIf.*\(code 395\)$/) as string },
        ]);
        expect((await stored()).filter(({ payload }) => payload === 'fine')).toHaveLength(9);
      } finally {
        await ask(`DROP TABLE ${DATABASE}.no_poison`);
      }
    });

    it('is healthy', async () => {
      await withSink(url, async (sink) => {
        expect(await answeredHealth(sink)).toEqual({
          ok: true,
          detail: expect.stringMatching(/^ClickHouse \d+\.\d+.*, database history_test$/) as string,
        });
        expect(sink.name).toBe(`clickhouse://${host}/${DATABASE}`);
      });
    });

    it('migrates an empty database, twice at once and again, and rejects a newer one', async () => {
      const other = `${DATABASE}_migrate`;
      await ask(`DROP DATABASE IF EXISTS ${other}`);
      await ask(`CREATE DATABASE ${other}`);
      const to = changed(server, { path: other });
      await withSink(to, async (sink) => {
        expect(await answeredHealth(sink)).toEqual({
          ok: false,
          detail: expect.stringMatching(/^HISTORY_URLS: .*version 0.*run "emqx-offline-store migrate"$/) as string,
        });
        await expect(sink.append([message({ topic: 't' })])).rejects.toThrow(RetryableError);
      });
      await Promise.all([withSink(to, (sink) => sink.migrate()), withSink(to, (sink) => sink.migrate())]);
      await withSink(to, async (sink) => {
        await sink.migrate();
        expect(await sink.append([message({ topic: 't' })])).toEqual([]);
      });
      await ask(`INSERT INTO ${other}.mqtt_history_migration (version, name) VALUES (99, 'later')`);
      await withSink(to, async (sink) => {
        await expect(sink.migrate()).rejects.toThrow(/version 99.*upgrade/);
        expect((await answeredHealth(sink)).ok).toBe(false);
      });
      await ask(`DROP DATABASE ${other}`);
    });

    it.each<[string, Parameters<typeof changed>[1], RegExp]>([
      ['a wrong password', { user: 'default:wrong' }, /^HISTORY_URLS: .*check user and password$/],
      [
        'a host that is not there',
        { port: 1 },
        /^HISTORY_URLS: cannot connect to ClickHouse at 127\.0\.0\.1:1 \(ECONNREFUSED\): check host and port$/,
      ],
      ['a database that is not there', { path: 'absent' }, /^HISTORY_URLS: .*create the database first$/],
    ])('names the setting for %s', async (_, changes, expected) => {
      await withSink(changed(url, changes), async (sink) => {
        const { ok, detail } = await answeredHealth(sink);
        expect(ok).toBe(false);
        expect(detail).toMatch(expected);
        expect(detail.split('\n')).toHaveLength(1);
        expect(detail).not.toContain('wrong');
        await expect(sink.append([message({ topic: 't' })])).rejects.toThrow(RetryableError);
      });
    });

    it('names the setting when the server has no TLS', async () => {
      await withSink(changed(url, { params: { tls: 'true' } }), async (sink) => {
        const { ok, detail } = await answeredHealth(sink);
        expect(ok).toBe(false);
        expect(detail).toMatch(/^HISTORY_URLS: ClickHouse at .*: check (host, port|port) and tls=$/);
      });
    });

    it('uses TLS only with a trusted server', async () => {
      const proxy = await TlsProxy.to(hostname, Number(port));
      try {
        const one = message({ topic: 'tls' });
        await withSink(changed(url, { port: proxy.port, params: { ca: caFile() } }), async (sink) => {
          expect(await answeredHealth(sink)).toMatchObject({ ok: true });
          expect(await sink.append([one])).toEqual([]);
        });
        expect((await stored()).map(({ msgid }) => msgid)).toEqual([one.id]);
        await withSink(changed(url, { port: proxy.port, params: { tls: 'true' } }), async (sink) => {
          expect((await answeredHealth(sink)).detail).toMatch(
            /^HISTORY_URLS: ClickHouse at .*: its certificate is not trusted \(\w+\): check ca= and the host name$/,
          );
        });
      } finally {
        await proxy.close();
      }
    });
  });
});

it('a ClickHouse history cannot be used after it is closed', async () => {
  const sink = await openSink('clickhouse://127.0.0.1:1/d');
  await sink.close();
  await sink.close();
  await expect(sink.append([message({ topic: 't' })])).rejects.toThrow(ClosedError);
  await expect(sink.migrate()).rejects.toThrow(ClosedError);
  expect((await sink.health()).ok).toBe(false);
});
