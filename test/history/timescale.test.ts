import { Client } from 'pg';
import { ClosedError, RetryableError } from '../../src/base/errors';
import type { Message } from '../../src/mqtt/message';
import { caFile, withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { answeredHealth } from '../support/health';
import { message } from '../support/messages';
import { Proxy } from '../support/proxy';
import { changed, openSink, withSink, withTemplates } from './sinks';

type Row = Record<string, unknown>;

describe('a history on TimescaleDB', () => {
  withBackends(['timescale'], ({ timescale: server }) => {
    /** Its own way to look into the database. */
    async function withClient<T>(url: string, work: (ask: (sql: string, values?: unknown[]) => Promise<Row[]>) => Promise<T>): Promise<T> {
      const client = new Client({ connectionString: url.replace(/^timescale:/, 'postgres:') });
      await client.connect();
      try {
        return await work(async (sql, values) => (await client.query<Row>(sql, values)).rows);
      } finally {
        await client.end();
      }
    }
    const ask = (url: string, sql: string, values?: unknown[]) => withClient(url, (query) => query(sql, values));

    async function database(name: string, extension = true): Promise<string> {
      const url = await emptyDatabase(server, `history_${name}`);
      if (extension) await ask(url, 'CREATE EXTENSION IF NOT EXISTS timescaledb');
      return url;
    }

    describe('without a template', () => {
      let url = '';
      beforeAll(async () => {
        url = await database('table');
        await withSink(url, (sink) => sink.migrate());
      });
      beforeEach(() => ask(url, 'TRUNCATE mqtt_history'));
      const appended = (messages: readonly Message[]) => withSink(url, (sink) => sink.append(messages));

      it('stores every message as a row of a hypertable', async () => {
        const one = message({
          ...{
            topic: 'a/é',
            clientid: 'c',
            username: 'u',
            qos: 2,
            retain: true,
            payload: Buffer.from('tëxt'),
            publishReceivedAt: 1_700_000_000_123,
          },
          properties: { contentType: 'text/plain', userProperties: [{ key: 'k', value: 'v' }] },
        });
        const bytes = message({ topic: 'bytes', payload: Buffer.from([0, 255]) });
        const empty = message({ topic: 'empty', payload: Buffer.alloc(0) });
        expect(await appended([one, bytes, empty])).toEqual([]);
        const rows = await ask(url, 'SELECT *, extract(epoch FROM arrived) * 1000 AS ms FROM mqtt_history ORDER BY msgid');
        expect(rows).toMatchObject([
          {
            msgid: one.id,
            sender: 'c',
            username: 'u',
            topic: 'a/é',
            qos: 2,
            retain: 1,
            payload: 'tëxt',
            payload_bin: null,
            properties: one.properties,
            ms: '1700000000123.000000',
          },
          { msgid: bytes.id, username: null, retain: 0, payload: null, payload_bin: bytes.payload },
          { msgid: empty.id, payload: '', payload_bin: null },
        ]);
        expect(await ask(url, `SELECT hypertable_name FROM timescaledb_information.hypertables`)).toEqual([
          { hypertable_name: 'mqtt_history' },
        ]);
      });

      it('stores a batch once when it is appended repeatedly and in parallel', async () => {
        const batch = Array.from({ length: 50 }, (_, i) => message({ topic: `t/${i % 3}` }));
        expect(await appended([...batch, ...batch])).toEqual([]);
        const orders = [batch, [...batch].reverse(), batch, [...batch].reverse()];
        expect(await withSink(url, (sink) => Promise.all(orders.map((each) => sink.append(each))))).toEqual([[], [], [], []]);
        expect(await ask(url, 'SELECT msgid FROM mqtt_history ORDER BY msgid')).toEqual(batch.map(({ id }) => ({ msgid: id })));
      });

      it('stores long topics and big payloads', async () => {
        const batch = [
          message({ topic: '😀'.repeat(16_383) }),
          message({ topic: 't', payload: Buffer.alloc(1_000_000, 'x') }),
          message({ topic: 't', payload: Buffer.alloc(4_000_000) }),
        ];
        expect(await appended(batch)).toEqual([]);
        expect(await ask(url, 'SELECT count(*)::int AS n FROM mqtt_history')).toEqual([{ n: 3 }]);
      });

      // The guard is that ON CONFLICT names the key. Without it such a message is neither stored nor rejected.
      it("rejects only the messages that an operator's own unique key rejects", async () => {
        await ask(url, 'CREATE UNIQUE INDEX own ON mqtt_history (payload, arrived)');
        const at = { topic: 't', publishReceivedAt: 1_700_000_000_123 };
        const [first, same, other] = ['x', 'x', 'y'].map((text) => message({ ...at, payload: Buffer.from(text) }));
        expect(await appended([first!, same!, other!])).toEqual([
          { id: same!.id, reason: expect.stringContaining('unique constraint') as string },
        ]);
        expect(await ask(url, 'SELECT msgid FROM mqtt_history ORDER BY msgid')).toEqual([{ msgid: first!.id }, { msgid: other!.id }]);
        await ask(url, 'DROP INDEX own');
      });

      it('rejects only the messages that a trigger of the operator rejects', async () => {
        await ask(
          url,
          `CREATE OR REPLACE FUNCTION no_poison() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN IF NEW.payload = 'poison' THEN RAISE EXCEPTION 'no poison here'; END IF; RETURN NEW; END $$`,
        );
        await ask(url, 'CREATE OR REPLACE TRIGGER no_poison BEFORE INSERT ON mqtt_history FOR EACH ROW EXECUTE FUNCTION no_poison()');
        const batch = Array.from({ length: 20 }, (_, i) => message({ topic: 't', payload: Buffer.from(i % 9 === 4 ? 'poison' : 'fine') }));
        const refused = batch.filter((_, i) => i % 9 === 4);
        expect(await appended(batch)).toEqual(
          refused.map(({ id }) => ({ id, reason: expect.stringContaining('no poison here') as string })),
        );
        expect(await ask(url, 'SELECT count(*)::int AS n FROM mqtt_history')).toEqual([{ n: 18 }]);
      });

      it('is healthy', async () => {
        await withSink(url, async (sink) => {
          expect(await answeredHealth(sink)).toEqual({
            ok: true,
            detail: expect.stringMatching(/^PostgreSQL 1\d\.\d+.*, TimescaleDB 2\.\d+\.\d+$/) as string,
          });
          expect(sink.name).toBe(`timescale://${new URL(url).host}/history_table`);
        });
      });
    });

    it("migrates an empty database, twice at once and again, beside a store's tables", async () => {
      const url = await database('twice', false);
      await ask(url, 'CREATE TABLE mqtt_offline_migration (version integer PRIMARY KEY, name text)');
      await ask(url, `INSERT INTO mqtt_offline_migration VALUES (3, 'x')`);
      await Promise.all([withSink(url, (sink) => sink.migrate()), withSink(url, (sink) => sink.migrate())]);
      await withSink(url, async (sink) => {
        await sink.migrate();
        expect(await sink.append([message({ topic: 't' })])).toEqual([]);
        expect((await answeredHealth(sink)).detail).toContain('without TimescaleDB: a plain table');
      });
      await ask(url, `INSERT INTO mqtt_history_migration VALUES (99, 'later')`);
      await withSink(url, async (sink) => {
        await expect(sink.migrate()).rejects.toThrow(/version 99.*upgrade/);
        expect((await answeredHealth(sink)).ok).toBe(false);
      });
    });

    it('reports that its table is missing, and what to do', async () => {
      const url = await database('empty', false);
      await withSink(url, async (sink) => {
        expect(await answeredHealth(sink)).toEqual({
          ok: false,
          detail: expect.stringMatching(/^HISTORY_URLS: .*version 0.*run "emqx-offline-store migrate"$/) as string,
        });
        await expect(sink.append([message({ topic: 't' })])).rejects.toThrow(RetryableError);
      });
    });

    describe('with templates', () => {
      let url = '';
      beforeAll(async () => {
        url = await database('templates');
        await withSink(url, (sink) => sink.migrate());
        await ask(
          url,
          `CREATE TABLE sensor_data (time timestamptz NOT NULL, location text NOT NULL, temperature double precision, humidity double precision)`,
        );
        await ask(url, `CREATE TABLE typed (id text, qos int, at bigint, body bytea, doc jsonb, flag boolean, fixed int)`);
      });
      beforeEach(() => ask(url, 'TRUNCATE sensor_data, typed, mqtt_history_done'));
      const appended = (templates: unknown, messages: readonly Message[]) =>
        withTemplates(templates, (file) => withSink(changed(url, { params: { templates: file } }), (sink) => sink.append(messages)));

      // EMQX's own example.
      const sensor = {
        name: 'insert-sensor',
        sql: 'insert into sensor_data(time, location, temperature, humidity) values (NOW(), $1, $2, $3)',
        param_keys: [
          ['$payload', 'data', '$0', 'location'],
          ['$payload', 'data', '$0', 'temperature'],
          ['$payload', 'data', '$0', 'humidity'],
        ],
      };
      const reading = (...data: object[]) => message({ topic: 'sensor/1', payload: Buffer.from(JSON.stringify({ data })) });
      const readings = () => ask(url, 'SELECT location, temperature, humidity FROM sensor_data ORDER BY location');

      it("runs the operator's statement for each point", async () => {
        const one = reading({ location: 'A', temperature: 23.5, humidity: 40 }, { location: 'B', temperature: -1 });
        expect(await appended({ 'sensor/+': sensor }, [one, message({ topic: 'other' })])).toEqual([]);
        expect(await readings()).toEqual([
          { location: 'A', temperature: 23.5, humidity: 40 },
          { location: 'B', temperature: -1, humidity: null },
        ]);
      });

      // The guard is mqtt_history_done: the statement itself would insert the same again.
      it('runs the statement once per message when it is appended repeatedly and in parallel', async () => {
        const batch = Array.from({ length: 30 }, (_, i) =>
          reading({ location: `A${i}`, temperature: i }, { location: `B${i}`, temperature: i }),
        );
        await withTemplates({ '#': sensor }, async (file) => {
          const to = changed(url, { params: { templates: file } });
          await withSink(to, (sink) =>
            Promise.all([[...batch, ...batch.map((each) => ({ ...each }))], [...batch].reverse(), batch].map((each) => sink.append(each))),
          );
          await withSink(to, (sink) => sink.append(batch));
        });
        expect(await readings()).toHaveLength(60);
      });

      it('forgets stored message ids after a day', async () => {
        await ask(
          url,
          `INSERT INTO mqtt_history_done SELECT 'insert-sensor', 'old' || n, now() - interval '25 hours' FROM generate_series(1, 100) AS n`,
        );
        await ask(url, `INSERT INTO mqtt_history_done VALUES ('insert-sensor', 'young', now() - interval '23 hours')`);
        const one = reading({ location: 'A' });
        expect(await appended({ '#': sensor }, [one])).toEqual([]);
        expect(await ask(url, 'SELECT msgid FROM mqtt_history_done ORDER BY msgid')).toEqual([{ msgid: one.id }, { msgid: 'young' }]);
      });

      it('binds parameters of every type', async () => {
        const typed = {
          name: 'typed',
          sql: 'INSERT INTO typed (id, qos, at, body, doc, flag, fixed) VALUES ($1, $2, $3, $4, $5, $6, $7)',
          param_keys: ['$id', '$qos', '$timestamp', '$payload', ['$payload', 'doc'], ['$payload', 'flag'], 7],
        };
        const text = '{"doc":{"a":[1,"\\\\x41é"]},"flag":true}';
        const one = message({ topic: 't', payload: Buffer.from(text) });
        expect(await appended({ '#': typed }, [one])).toEqual([]);
        const microseconds = BigInt(`0x${one.id.slice(0, 16)}`);
        expect(await ask(url, 'SELECT * FROM typed')).toEqual([
          {
            id: one.id,
            qos: 1,
            at: String(microseconds * 1_000n),
            body: Buffer.from(text),
            doc: { a: [1, '\\x41é'] },
            flag: true,
            fixed: 7,
          },
        ]);
        const raw = { ...typed, sql: 'INSERT INTO typed (id, body) VALUES ($1, $2)', param_keys: ['$id', '$payload'] };
        const bytes = message({ topic: 't', payload: Buffer.from([0, 255, 92]) });
        expect(await appended({ '#': raw }, [bytes])).toEqual([]);
        expect(await ask(url, 'SELECT body FROM typed WHERE id = $1', [bytes.id])).toEqual([{ body: bytes.payload }]);
      });

      it('rejects only the messages that the table rejects or that have no point', async () => {
        const batch = [
          reading({ location: 'A', temperature: 1 }),
          reading({ location: 'B', temperature: 'warm' }),
          reading({ temperature: 3 }),
          message({ topic: 'sensor/1', payload: Buffer.from('no JSON') }),
          reading({ location: 'C\0' }),
          reading({ location: 'D', temperature: 4 }),
        ];
        const refusals = new Map((await appended({ '#': sensor }, batch)).map(({ id, reason }) => [id, reason]));
        expect(batch.map(({ id }) => refusals.get(id) ?? null)).toEqual([
          null,
          expect.stringContaining('invalid input syntax for type double precision'),
          expect.stringContaining('null value in column "location"'),
          'makes no data point: the payload is not JSON',
          expect.stringContaining('invalid byte sequence'),
          null,
        ]);
        expect((await readings()).map(({ location }) => location)).toEqual(['A', 'D']);
      });

      it('rejects a message that could be stored only in part', async () => {
        const both = reading({ location: 'A', temperature: 1 }, { location: 'B', temperature: 'warm' });
        expect(await appended({ '#': sensor }, [both])).toHaveLength(1);
        expect(await readings()).toEqual([]);
      });

      it.each<[string, object, RegExp]>([
        [
          'a table that is not there',
          { sql: 'insert into absent values ($1, $2, $3)' },
          /the statement "insert-sensor" of templates= is refused: relation "absent" does not exist$/,
        ],
        ['no SQL', { sql: 'store it' }, /is refused: syntax error/],
        ['two statements', { sql: `${sensor.sql}; drop table sensor_data` }, /is refused: cannot insert multiple commands/],
        ['another number of parameters', { param_keys: ['$id'] }, /has 3 parameters, its param_keys are 1$/],
      ])('checks the statements at the start: %s', async (_, changes, expected) => {
        await withTemplates({ '#': { ...sensor, ...changes } }, (file) =>
          withSink(changed(url, { params: { templates: file } }), async (sink) => {
            await expect(sink.migrate()).rejects.toThrow(expected);
            const { ok, detail } = await answeredHealth(sink);
            expect(ok).toBe(false);
            expect(detail).toMatch(expected);
            expect(detail).toMatch(/^HISTORY_URLS: the statement/);
            await expect(sink.append([reading({ location: 'A' })])).rejects.toThrow(RetryableError);
          }),
        );
        expect(await readings()).toEqual([]);
      });

      it('works again after an outage', async () => {
        const proxy = await Proxy.to(url);
        try {
          await withTemplates({ '#': sensor }, (file) =>
            withSink(changed(proxy.url, { params: { templates: file } }), async (sink) => {
              expect(await sink.append([reading({ location: 'A' })])).toEqual([]);
              proxy.cut();
              const batch = [reading({ location: 'B' })];
              await expect(sink.append(batch)).rejects.toThrow(RetryableError);
              proxy.restore();
              expect(await sink.append(batch)).toEqual([]);
            }),
          );
        } finally {
          await proxy.close();
        }
        expect((await readings()).map(({ location }) => location)).toEqual(['A', 'B']);
      });
    });

    it.each<[string, Parameters<typeof changed>[1], RegExp]>([
      ['a wrong password', { user: 'postgres:wrong' }, /^HISTORY_URLS: .*check user and password$/],
      ['a host that is not there', { port: 1 }, /^HISTORY_URLS: cannot connect to TimescaleDB .*check host and port$/],
      ['a database that is not there', { path: 'absent' }, /^HISTORY_URLS: .*create the database first$/],
      [
        'a certificate that is not trusted',
        { params: { tls: 'true' } },
        /^HISTORY_URLS: TimescaleDB at timescale:.*: its certificate is not trusted \(\w+\): check ca= and the host name$/,
      ],
      ['TLS that the role needs', { user: 'tls:postgres' }, /^HISTORY_URLS: .*no encryption/],
    ])('names the setting for %s', async (_, changes, expected) => {
      await withSink(changed(server, changes), async (sink) => {
        const { ok, detail } = await answeredHealth(sink);
        expect(ok).toBe(false);
        expect(detail).toMatch(expected);
        expect(detail).not.toContain('wrong');
        await expect(sink.append([message({ topic: 't' })])).rejects.toThrow(RetryableError);
      });
    });

    it('uses TLS, with templates too', async () => {
      const url = await database('tls');
      const secure = changed(url, { user: 'tls:postgres', params: { ca: caFile() } });
      const statement = { name: 's', sql: 'INSERT INTO told VALUES ($1)', param_keys: ['$id'] };
      const one = message({ topic: 't' });
      await withSink(secure, async (sink) => {
        await sink.migrate();
        expect(await answeredHealth(sink)).toMatchObject({ ok: true });
        expect(await sink.append([one])).toEqual([]);
      });
      await ask(url, 'CREATE TABLE told (id text)');
      await withTemplates({ '#': statement }, (file) =>
        withSink(changed(secure, { params: { templates: file } }), async (sink) => expect(await sink.append([one])).toEqual([])),
      );
      expect(await ask(url, 'SELECT id FROM told UNION ALL SELECT msgid FROM mqtt_history')).toEqual([{ id: one.id }, { id: one.id }]);
    });
  });

  it('cannot be used after it is closed', async () => {
    await withTemplates({ '#': { name: 's', sql: 'SELECT $1', param_keys: ['$id'] } }, async (file) => {
      for (const params of ['', `?templates=${file}`]) {
        const sink = await openSink(`timescale://127.0.0.1:1/d${params}`);
        await sink.close();
        await sink.close();
        await expect(sink.append([message({ topic: 't' })])).rejects.toThrow(ClosedError);
        await expect(sink.migrate()).rejects.toThrow(ClosedError);
        expect((await sink.health()).ok).toBe(false);
      }
    });
  });
});
