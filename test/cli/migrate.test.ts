import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { planLines } from '../../src/ops/migration-text';
import { ORIGINAL, ROWS } from '../stores/emqx-tables';
import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { temporaryDirectory } from '../support/temp';
import { run } from './shell';

describe('migrate --dry-run', () => {
  const directory = temporaryDirectory();
  afterAll(() => directory.remove());

  it('shows what would be created for the embedded database, without creating it', async () => {
    const path = join(directory.path, 'absent');
    const { code, stdout, stderr } = await run(['migrate', '--dry-run'], { DATA_DIR: path });
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout.match(new RegExp(`create the embedded database in ${path}`, 'g'))).toHaveLength(2);
    expect(stdout).toMatch(/nothing was changed\n$/);
    expect(existsSync(path)).toBe(false);
    expect((await run(['migrate'], { DATA_DIR: path })).stdout).toMatch(/^store: embedded/);
    expect((await run(['migrate', '--dry-run'], { DATA_DIR: path })).stdout).toMatch(/^queue embedded:: up to date/);
  });

  it('shows numbers with their units', () => {
    expect(planLines('store', { pending: ['001_a.sql'], takeover: [{ table: 'mqtt_msg', rows: 1 }] })).toEqual([
      'store: 1 migration would run:',
      '  001_a.sql',
      "  taken over from EMQX's own tables: 1 row",
      '    mqtt_msg: 1 row',
    ]);
  });

  withBackends(['postgres'], ({ postgres }) => {
    it("shows migrations and EMQX's rows, and migrate logs its progress", async () => {
      const url = await emptyDatabase(postgres, 'offline_cli_migrate');
      const client = new Client({ connectionString: url });
      await client.connect();
      try {
        await client.query(ORIGINAL + ROWS);
        const tables = async () =>
          (await client.query('SELECT table_name, column_name FROM information_schema.columns ORDER BY 1, 2')).rows;
        const before = await tables();
        const env = { STORE_URL: url, QUEUE_URL: url, HISTORY_URLS: url.replace('postgres:', 'timescale:') };
        const dry = await run(['migrate', '--dry-run'], env);
        expect(await tables()).toEqual(before);
        expect(dry.stdout).toMatch(
          /^queue postgres:.*: 3 migrations would run:\n {2}BullMQ's tables\n {2}001_order_and_shared_state\.sql\n {2}002_records\.sql$/m,
        );
        expect(dry.stdout).toMatch(/^store postgres:.*: 6 migrations would run:\n {2}001_messages\.sql$/m);
        expect(dry.stdout).toMatch(/^ {2}taken over from EMQX's own tables: 26 rows\n {4}mqtt_msg: 13 rows$/m);
        expect(dry.stdout).toMatch(/^history timescale:.*: 2 migrations would run:\n {2}001_history\.sql$/m);
        expect(dry).toMatchObject({ code: 0, stderr: '' });

        const done = await run(['migrate'], env);
        expect(done.code).toBe(0);
        const told = done.stderr.trim().split('\n');
        expect(told[0]).toBe('001_messages.sql: 0 of 26 rows taken over');
        expect(told.at(-1)).toMatch(/^\d+_.*\.sql: 26 of 26 rows taken over$/);
        const again = await run(['migrate', '--dry-run'], env);
        expect(again.stdout.match(/: up to date, no migration would run$/gm)).toHaveLength(3);
      } finally {
        await client.end();
      }
    });
  });
});
