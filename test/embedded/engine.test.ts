import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Pool } from 'pg';
import { PgliteEngine } from '../../src/embedded/engine';
import { temporaryDirectory } from '../support/temp';
import { waitFor } from '../support/wait';

const fail = (error: Error): never => {
  throw error;
};

describe('the embedded database', () => {
  const directory = mkdtempSync(join(tmpdir(), 'offline-engine-'));
  let engine: PgliteEngine;
  let pool: Pool;

  beforeAll(async () => {
    engine = await PgliteEngine.open(directory, fail);
    pool = new Pool({ ...engine.connectionConfig(), max: 8 });
  });

  afterAll(async () => {
    await pool.end();
    await engine.close();
    rmSync(directory, { recursive: true });
  });

  it('keeps the answers of concurrent clients apart', async () => {
    const answers = await Promise.all(
      Array.from({ length: 400 }, (_, i) =>
        i % 2 === 0 ? pool.query('SELECT $1::int AS v', [i]) : pool.query(`SELECT $1::text AS v${i % 7}, 'x' AS w`, [`t${i}`]),
      ),
    );
    answers.forEach(({ rows }, i) => expect(Object.values(rows[0] as object)[0]).toBe(i % 2 === 0 ? i : `t${i}`));
  });

  // The guard is answerTo in thread.js: PGlite keeps what execProtocolRaw parses, about 200 MB of these rows.
  it('forgets its answers', async () => {
    const read = () => pool.query("SELECT i, 'x' AS text FROM generate_series(1, 1000) AS i");
    for (let i = 0; i < 100; i++) await read();
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 1_000; i++) await read();
    expect(process.memoryUsage().rss - before).toBeLessThan(120 * 1024 * 1024);
  });

  it('keeps a transaction to the client that opened it', async () => {
    await pool.query('CREATE TABLE account (n int)');
    const client = await pool.connect();
    await client.query('BEGIN');
    await client.query('INSERT INTO account VALUES (1)');
    const outside = pool.query('SELECT count(*)::int AS n FROM account');
    await client.query('INSERT INTO account VALUES (2)');
    await client.query('ROLLBACK');
    client.release();
    expect((await outside).rows).toEqual([{ n: 0 }]);
  });

  it('rolls back for a client that goes away inside a transaction', async () => {
    const client = new Client(engine.connectionConfig());
    await client.connect();
    await client.query('BEGIN');
    await client.query('INSERT INTO account VALUES (3)');
    await client.end();
    expect((await pool.query('SELECT count(*)::int AS n FROM account')).rows).toEqual([{ n: 0 }]);
  });

  it('brings a notification to a client that only listens', async () => {
    const listener = new Client(engine.connectionConfig());
    await listener.connect();
    await listener.query('LISTEN jobs');
    const heard = new Promise((resolve) => listener.once('notification', resolve));
    await pool.query(`SELECT pg_notify('jobs', 'hello')`);
    expect(await heard).toMatchObject({ channel: 'jobs', payload: 'hello' });
    await listener.end();
  });

  // The guard is engine.vacuum: PGlite has no autovacuum.
  it('does not grow with what was written and removed', async () => {
    await pool.query('CREATE TABLE churn (id int PRIMARY KEY, payload text)');
    const round = async () => {
      await pool.query(`INSERT INTO churn SELECT i, repeat('x', 500) FROM generate_series(1, 2000) AS i`);
      await pool.query('DELETE FROM churn');
      await engine.vacuum();
      const { rows } = await pool.query<{ size: string }>(`SELECT pg_total_relation_size('churn') AS size`);
      return Number(rows[0]?.size);
    };
    const first = await round();
    for (let i = 0; i < 5; i++) await round();
    expect(await round()).toBeLessThanOrEqual(first + 100_000);
  });

  it('goes on after an error in a statement', async () => {
    await expect(pool.query('SELECT 1 / $1::int', [0])).rejects.toMatchObject({ code: '22012' });
    expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  });

  it('is open once only', async () => {
    await expect(PgliteEngine.open(directory, fail)).rejects.toThrow(/DATA_DIR: .* is in use by process/);
  });
});

/** PostgreSQL gives up (PANIC) when it cannot write its log: here because the folder is gone for a while, in life because the disk is full. */
describe('an embedded database that breaks', () => {
  const directory = temporaryDirectory();
  const log = join(directory.path, 'pgdata', 'pg_wal');
  const troubles: string[] = [];
  let engine: PgliteEngine;

  beforeAll(async () => {
    engine = await PgliteEngine.open(directory.path, (error) => troubles.push(error.message));
  });
  afterAll(async () => {
    await engine.close();
    directory.remove();
  });

  // The guard is watch() in thread.js: PGlite goes on, and waits for ever for a lock that nobody holds.
  it('is opened again as soon as it can be, with all that was committed', async () => {
    const pool = new Pool({ ...engine.connectionConfig(), max: 4, connectionTimeoutMillis: 1_000 });
    const lost: string[] = [];
    pool.on('error', (error) => lost.push(error.message));
    await pool.query('CREATE TABLE kept (n int)');
    await pool.query('INSERT INTO kept VALUES (1)');
    renameSync(log, `${log}-away`);
    await expect(pool.query('SELECT pg_switch_wal()').then(() => pool.query('INSERT INTO kept VALUES (2)'))).rejects.toThrow(/the embedded database broke and is opened again/);
    await waitFor('a try to open it', () => troubles.some((text) => text.includes('cannot be opened')), 30_000);
    await expect(pool.query('SELECT 1')).rejects.toThrow();
    renameSync(`${log}-away`, log);
    const rows = async () => (await pool.query<{ n: number }>('SELECT n FROM kept ORDER BY n')).rows.map(({ n }) => n);
    await waitFor('it to answer', () => rows().then(() => true, () => false), 60_000);
    expect(await rows()).toContain(1);
    await pool.query('INSERT INTO kept VALUES (3)');
    expect(troubles[0]).toMatch(/^the embedded database broke and is opened again: /);
    await pool.end();
  }, 120_000);

  // The guard is isDatabase in EngineThread.start: PGlite makes an empty one where there is none.
  it('is not made anew when its folder is gone for a while, as when a volume is not mounted', async () => {
    const pool = new Pool({ ...engine.connectionConfig(), max: 1, connectionTimeoutMillis: 1_000 });
    pool.on('error', () => undefined);
    const folder = join(directory.path, 'pgdata');
    troubles.length = 0;
    renameSync(log, `${log}-away`);
    await expect(pool.query('SELECT pg_switch_wal()').then(() => pool.query('INSERT INTO kept VALUES (4)'))).rejects.toThrow();
    renameSync(folder, `${folder}-away`);
    await waitFor('a try to open it', () => troubles.some((text) => text.includes('there is no database')), 30_000);
    expect(existsSync(folder)).toBe(false);
    renameSync(`${folder}-away`, folder);
    renameSync(`${log}-away`, log);
    await waitFor('it to answer', () => pool.query('SELECT n FROM kept').then(({ rows }) => rows.length > 0, () => false), 60_000);
    await pool.end();
  }, 120_000);
});
