import { RefusedError } from '../../base/errors';
import { MigrationFiles } from '../shared/migration-files';
import { EMQX_TABLES, TakeoverProgress } from '../shared/takeover-progress';
import type { MigrationPlan, OnMigration, TakeoverCount } from '../../base/migration';
import type { Database, Run } from './database';
import { mapMigrationError } from './errors';
import { takeoverProblem } from './takeover';

const LOCK = 'emqx-offline-store migrate';
const LOCK_TIMEOUT_S = 300;

const VERSION = 'SELECT COALESCE(MAX(version), 0) AS version FROM mqtt_offline_migration';

/** Runs plain SQL files, in steps that can be repeated. The table mqtt_offline_migration notes which were run. */
export class Migrations {
  private readonly files = new MigrationFiles('mysql');

  constructor(private readonly db: Database) {}

  async run(onProgress?: OnMigration): Promise<void> {
    // Most starts have nothing to do, and then need neither the lock nor the right to create tables.
    if ((await this.version()) === this.files.newest) return;
    await this.db.session(async (run) => {
      const [lock] = await run<{ got: number | null }>('SELECT GET_LOCK(?, ?) AS got', [LOCK, LOCK_TIMEOUT_S]);
      if (lock?.got !== 1) throw new RefusedError(`another server has been migrating for ${LOCK_TIMEOUT_S} s: look at its log`);
      try {
        await this.apply(run, onProgress);
      } finally {
        await run('SELECT RELEASE_LOCK(?) AS released', [LOCK]);
      }
    });
  }

  private async apply(run: Run, onProgress: OnMigration | undefined): Promise<void> {
    const problem = await takeoverProblem(run);
    if (problem !== null) throw new RefusedError(`the tables cannot be taken over: ${problem}; nothing was changed`);
    await run(
      'CREATE TABLE IF NOT EXISTS mqtt_offline_migration (version int PRIMARY KEY, name varchar(255) NOT NULL, applied_at timestamp DEFAULT CURRENT_TIMESTAMP)',
    );
    const current = Number((await run<{ version: number }>(VERSION))[0]?.version ?? 0);
    if (current > this.files.newest) throw new RefusedError(this.problem(current) ?? '');
    const isNew = !(await isThere(run, 'mqtt_msg'));
    const progress = new TakeoverProgress(current === 0 && onProgress !== undefined ? await takeoverCounts(run) : [], onProgress);
    for (const { version, name, text } of this.files.all.slice(current)) {
      progress.begin(name);
      await applyFile(run, { name, text, isNew });
      progress.finish(version);
      await run('INSERT INTO mqtt_offline_migration (version, name) VALUES (?, ?)', [version, name]);
    }
  }

  /** What run() would do now. */
  async plan(): Promise<MigrationPlan> {
    const version = await this.version();
    const pending = this.files.pending(version);
    if (version > this.files.newest) throw new RefusedError(this.problem(version) ?? '');
    if (version > 0) return { pending, takeover: [] };
    return this.db.session(async (run) => {
      const problem = await takeoverProblem(run);
      if (problem !== null) throw new RefusedError(`the tables cannot be taken over: ${problem}`);
      return { pending, takeover: await takeoverCounts(run) };
    });
  }

  /** The newest version that was run; 0 for a database without the server's tables. */
  async version(): Promise<number> {
    const [table] = await this.db.rows<{ there: number }>(
      `SELECT COUNT(*) AS there FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'mqtt_offline_migration'`,
    );
    if (Number(table?.there) === 0) return 0;
    const [row] = await this.db.rows<{ version: number }>(VERSION);
    return Number(row?.version ?? 0);
  }

  problem(version: number): string | null {
    return this.files.problem(version);
  }
}

async function takeoverCounts(run: Run): Promise<TakeoverCount[]> {
  const counts: TakeoverCount[] = [];
  for (const table of EMQX_TABLES) {
    if (!(await isThere(run, table))) continue;
    const [counted] = await run<{ n: number }>(`SELECT COUNT(*) AS n FROM ${table}`);
    counts.push({ table, rows: Number(counted?.n ?? 0) });
  }
  return counts;
}

async function isThere(run: Run, table: string): Promise<boolean> {
  return (await run('SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?', [table])).length > 0;
}

interface MigrationFile {
  readonly name: string;
  readonly text: string;
  /** True if the database had no mqtt_msg before this migration. */
  readonly isNew: boolean;
}

/** Steps are separated by empty lines. migrations/mysql/001_messages.sql explains the comments that control them. */
async function applyFile(run: Run, { name, text, isNew }: MigrationFile): Promise<void> {
  for (const step of text.split(/\n\s*\n/)) {
    if (!isNew && /^-- only for a new mqtt_msg/m.test(step)) continue;
    if (!(await isNeeded(run, step))) continue;
    const dropped = /^-- drop indexes (\w+) \(([\w, ]+)\)/m.exec(step);
    if (dropped !== null) await dropIndexes(run, dropped[1] ?? '', (dropped[2] ?? '').split(/,\s*/));
    for (const statement of statements(step)) {
      await run(statement).catch((error: unknown) => {
        throw mapMigrationError(error, name);
      });
    }
  }
}

/**
 * The statements without comments, because a question mark in a comment would be a binding. No statement contains a
 * semicolon in a text.
 */
function statements(step: string): string[] {
  return step
    .replace(/--.*$/gm, '')
    .split(';')
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '');
}

/** What the comments of a step name: where it is listed, and in which columns its table and its own name are. */
const LISTS = {
  column: ['columns', 'table_schema', 'table_name', 'column_name'],
  index: ['statistics', 'table_schema', 'table_name', 'index_name'],
  'foreign key to': ['key_column_usage', 'referenced_table_schema', 'referenced_table_name', 'referenced_column_name'],
} as const;
const CONDITION = new RegExp(`^-- (unless|only with) (${Object.keys(LISTS).join('|')}) (\\w+)\\.(\\w+)`, 'gm');

/** Whether all conditions of the step hold. */
async function isNeeded(run: Run, step: string): Promise<boolean> {
  for (const [, word, kind, table, name] of step.matchAll(CONDITION)) {
    const [view, schemaColumn, tableColumn, nameColumn] = LISTS[kind as keyof typeof LISTS];
    const found = await run(
      `SELECT 1 FROM information_schema.${view} WHERE ${schemaColumn} = DATABASE() AND ${tableColumn} = ? AND ${nameColumn} = ? LIMIT 1`,
      [table ?? '', name ?? ''],
    );
    if (found.length > 0 === (word === 'unless')) return false;
  }
  return true;
}

async function dropIndexes(run: Run, table: string, columns: readonly string[]): Promise<void> {
  const indexes = await run<{ name: string }>(
    'SELECT DISTINCT index_name AS name FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = ? AND column_name IN (?)',
    [table, columns],
  );
  if (indexes.length === 0) return;
  const drops = indexes.map(({ name }) => (name === 'PRIMARY' ? 'DROP PRIMARY KEY' : `DROP KEY \`${name.replaceAll('`', '``')}\``));
  await run(`ALTER TABLE ${table} ${drops.join(', ')}`);
}
