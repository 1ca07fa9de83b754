import { atMostEvery } from '../base/log';
import { pacedFromNow } from '../base/pace';
import type { MigrationProgress } from '../base/migration';
import type { Config } from '../config/config';
import type { ServiceUrl } from '../config/url';
import { checkMove, moveEmbedded } from '../ops/move-embedded';
import { migrationLine, planLines } from '../ops/migration-text';
import { moveLines, progressLine } from '../ops/move-text';
import type { Counts } from '../ops/moving';
import { EXIT, type Command } from './command';
import type { Shell } from './shell';

const PROGRESS_MS = 1_000;
const QUEUE_LOG_MS = 60_000;

export const migrate: Command = {
  name: 'migrate',
  summary: 'Create or upgrade the tables, or move the embedded store.',
  usage: ['[--dry-run]', '--from embedded: --to URL [--dry-run] [--force]'],
  description: [
    'Creates or upgrades the tables of STORE_URL, HISTORY_URLS and QUEUE_URL, and ends. The server does the same at its start.',
    "Tables that EMQX's own backends have filled are taken over. stderr tells how many rows are done, at most once a second.",
    '',
    'With --from and --to the command moves what the embedded store in DATA_DIR holds to another store.',
    'Stop the server first. DATA_DIR keeps everything.',
  ],
  positionals: { least: 0, most: 0 },
  options: [
    {
      name: 'dry-run',
      help: [
        'Change nothing. Say which migrations would run and how many rows would be taken over.',
        'With --from and --to: count what would be moved.',
      ],
    },
    { name: 'from', value: 'embedded:', help: ['The store to move from: the embedded one in DATA_DIR.'] },
    { name: 'to', value: 'URL', help: ['The store to move to, as in STORE_URL.'] },
    { name: 'force', help: ['Move although accepted events still wait in the queue.'] },
  ],
  examples: [
    { command: 'emqx-offline-store migrate --dry-run', effect: 'Says what a migration would do.' },
    { command: 'emqx-offline-store migrate', effect: 'Creates or upgrades the tables.' },
    {
      command: 'emqx-offline-store migrate --from embedded: --to postgres://user:password@host/database',
      effect: 'Moves the embedded store to PostgreSQL, and says what to set then.',
    },
  ],
  exitCodes: [
    { code: EXIT.done, meaning: 'Done, or nothing to do.' },
    { code: EXIT.failed, meaning: 'A database is away or refuses, events wait in the queue, or the new store refused some items.' },
  ],
  settings: ['STORE_URL', 'STORE_SQL_*', 'HISTORY_URLS', 'QUEUE_URL', 'DATA_DIR', 'CONFIG_FILE'],
  async run(given, shell) {
    const [from, to, dryRun, force] = [given.text('from'), given.text('to'), given.has('dry-run'), given.has('force')];
    if (from !== undefined || to !== undefined || force) {
      const target = checkMove(from, to);
      return move(shell.configuration([target]), target, { dryRun, force }, shell);
    }
    return dryRun ? plan(shell.configuration(), shell) : migrateAll(shell.configuration(), shell);
  },
};

async function migrateAll(config: Config, shell: Shell): Promise<number> {
  const { openBackends } = await import('../server/backends.js');
  const backends = await openBackends(config, shell.log);
  try {
    await backends.queue.prepare();
    const progress = new Progress(shell);
    await backends.store.migrate((each) => progress.tell(each));
    progress.end();
    shell.print(`store: ${(await backends.store.health()).detail}`);
    for (const sink of backends.history) {
      await sink.migrate();
      shell.print(`history ${sink.name}: ${(await sink.health()).detail}`);
    }
  } finally {
    await backends.close();
  }
  return EXIT.done;
}

/** Prints the progress of a migration. If rows are taken over, the first and the last line are printed at once. */
class Progress {
  private readonly paced: (progress: MigrationProgress) => void;
  private last: MigrationProgress | null = null;
  private lastLine: string | null = null;

  constructor(private readonly shell: Shell) {
    this.paced = pacedFromNow(PROGRESS_MS, (progress) => this.note(progress));
  }

  tell(progress: MigrationProgress): void {
    const isFirst = this.last === null && progress.total > 0;
    this.last = progress;
    if (isFirst) this.note(progress);
    else this.paced(progress);
  }

  end(): void {
    if (this.last !== null && this.last.total > 0) this.note(this.last);
  }

  private note(progress: MigrationProgress): void {
    const line = migrationLine(progress);
    if (line !== this.lastLine) this.shell.note(line);
    this.lastLine = line;
  }
}

/** Prints the plan. Nothing is created, not even DATA_DIR. */
async function plan(config: Config, shell: Shell): Promise<number> {
  const { planMigrations } = await import('../server/plan.js');
  for await (const { database, plan: found } of planMigrations(config, shell.log)) shell.print(...planLines(database, found));
  shell.print('nothing was changed');
  return EXIT.done;
}

async function move(config: Config, to: ServiceUrl, { dryRun, force }: { dryRun: boolean; force: boolean }, shell: Shell): Promise<number> {
  const { dataDir, storeSql: statements, queue } = config;
  const onProgress = (counts: Counts) => shell.note(progressLine(counts));
  const onQueueError = atMostEvery(QUEUE_LOG_MS, (fields: object) => shell.log.warn(fields, 'QUEUE_URL: connection error'));
  const report = await moveEmbedded({
    ...{ dataDir, to, statements, dryRun, force, onProgress },
    now: Date.now(),
    onQueueError: (err) => onQueueError({ err }),
  });
  shell.print(...moveLines(report, { dataDir, to, queue, dryRun }));
  return report.moved === null || report.moved.refused > 0 ? EXIT.failed : EXIT.done;
}
