#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { parseArgs } from 'node:util';
import { collectDefaultMetrics } from 'prom-client';
import { openBackends } from './server/backends';
import { checkAvailable } from './config/available';
import type { Config } from './config/config';
import { ConfigError, loadConfig } from './config/load';
import type { ServiceUrl } from './config/url';
import { ruleNames } from './emqx/rules';
import { errorText, SettingError } from './base/errors';
import { diagnose, lineOf } from './doctor';
import { atMostEvery, createLogger } from './base/log';
import { backUp } from './embedded/backup';
import { checkMove, moveEmbedded } from './ops/move-embedded';
import { moveLines, progressLine } from './ops/move-text';
import type { Counts } from './ops/moving';
import { rulesCommand } from './ops/rules-command';
import { installCommand } from './ops/rules-text';
import { Secrets } from './ops/secrets';
import { NO_API_KEY } from './ops/status';
import { Server } from './server/server';

const USAGE = `usage: emqx-offline-store serve | migrate [--from embedded: --to URL [--dry-run] [--force]] | backup FILE | doctor | rules [--install | --remove] [--set SET] [--url URL] [--topic FILTER]... [--name NAME] [--yes]
  serve    run the server
  migrate  create or upgrade the tables of STORE_URL, HISTORY_URLS and QUEUE_URL, then exit;
           with --from and --to move what the embedded store in DATA_DIR holds to the store of that URL: stop the server first.
           --dry-run only counts; --force moves although accepted events still wait in the queue
  backup   copy the embedded database in DATA_DIR, as it is now, to a file that does not exist yet; the server may run
  doctor   check settings, queue, store, EMQX and its rules, one line each with what to do; exits with 1 when there is a problem
  rules    print a rule set for EMQX 5 and 6 (--set: ${ruleNames.join(', ')}) with the server's URL as EMQX reaches it, your topics and INGEST_TOKEN;
           --install puts it into EMQX, after showing what changes, and waits until an event arrives; --remove takes out what --install made;
           --name (default offline) begins the names of connector, action and rule: give each server on one EMQX its own. --yes: don't ask
           with --emqx 4 they are printed for EMQX 4.4: a second --url is the server that EMQX 4 falls back to, see docs/emqx4.md
Settings come from the environment, or from the YAML file that CONFIG_FILE names; see README.md.`;

/** sysexits.h: what a service manager should not restart. */
const EX_USAGE = 64;
const EX_CONFIG = 78;
/** A stop that takes longer is cut short: what is in hand stays in the queue. */
const STOP_TIMEOUT_MS = 9_000;
const QUEUE_LOG_MS = 60_000;

const secrets = new Secrets();
let log = createLogger({ secrets });

async function main(command: string | undefined): Promise<void> {
  switch (command) {
    case 'serve':
      return serve(configuration());
    case 'migrate':
      return migrateOrMove(process.argv.slice(3));
    case 'backup':
      return backup(configuration(), process.argv.slice(3));
    case 'doctor':
      return doctor(configuration());
    case 'rules':
      return rules(process.argv.slice(3));
    case undefined:
    default:
      process.stderr.write(`${USAGE}\n`);
      process.exitCode = EX_USAGE;
  }
}

function configuration(urls: readonly ServiceUrl[] = []): Config {
  const config = loadConfig(process.env);
  secrets.learn(config, urls);
  log = createLogger({ secrets, ...config.log });
  checkAvailable(config);
  return config;
}

async function serve(config: Config): Promise<void> {
  log.info({ version: versionOf(), node: process.version, pid: process.pid }, 'starting');
  const server = await Server.start(config, log, (error) => {
    log.fatal({ err: error }, 'a part of the server failed unexpectedly: the process ends');
    process.exit(1);
  });
  // process_resident_memory_bytes, nodejs_eventloop_lag_seconds, ...
  collectDefaultMetrics({ register: server.metrics.registry });
  process.stdout.write(banner(config, server.url));
  let stopping = false;
  const stop = (signal: NodeJS.Signals) => {
    if (stopping) process.exit(1);
    stopping = true;
    const begun = performance.now();
    log.info({ signal }, 'stopping; a second signal ends the process at once');
    setTimeout(() => {
      log.warn({ stop_ms: STOP_TIMEOUT_MS }, 'the stop takes too long: the process ends, and what was in hand stays in the queue');
      process.exit(1);
    }, STOP_TIMEOUT_MS).unref();
    server.stop().then(
      () => {
        log.info({ stop_ms: Math.round(performance.now() - begun) }, 'stopped');
        process.exit(0);
      },
      (error) => {
        log.fatal({ err: error }, 'the stop failed unexpectedly');
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}

/** The package's version: its file is one folder above this one, in the sources and in what is built. */
function versionOf(): string {
  return (JSON.parse(readFileSync(join(__dirname, '../package.json'), 'utf8')) as { version: string }).version;
}

function banner(config: Config, url: string): string {
  const lines = [
    `emqx-offline-store listens on ${url}`,
    `data: store ${config.store}, queue ${config.queue}${usesEmbedded(config) ? `, embedded database in ${resolve(config.dataDir)}` : ''}`,
    ...installLines(config, url),
  ];
  if (config.emqx.credentials === null) lines.push(`WARNING: ${NO_API_KEY}`);
  return `${lines.join('\n')}\n`;
}

function installLines(config: Config, url: string): string[] {
  const keys = config.emqx.credentials === null ? ' and EMQX_API_KEY and EMQX_API_SECRET' : '';
  const port = config.port === 0 ? Number(new URL(url).port) : config.port;
  return [`put the rule into EMQX, with the same settings as this server${keys}:`, `  ${installCommand({ ...config, port })}`];
}

function usesEmbedded({ store, queue }: Config): boolean {
  return store.scheme === 'embedded' || queue.scheme === 'embedded';
}

async function backup(config: Config, args: string[]): Promise<void> {
  const { positionals } = parseArgs({ args, allowPositionals: true });
  const [target] = positionals;
  if (target === undefined || positionals.length > 1) throw new SettingError('backup', 'must name one file, which does not exist yet');
  await backUp(config.dataDir, target);
  process.stdout.write(`${resolve(target)} has the embedded database in ${resolve(config.dataDir)}\n`);
}

async function rules(args: string[]): Promise<void> {
  const ask = async (question: string): Promise<string> => {
    const terminal = createInterface({ input: process.stdin, output: process.stdout });
    try {
      return await terminal.question(question);
    } finally {
      terminal.close();
    }
  };
  const isTerminal = process.stdin.isTTY && process.stdout.isTTY;
  const write = (text: string): void => void process.stdout.write(text);
  process.exitCode = await rulesCommand(args, {
    config: () => configuration(),
    write,
    hide: (text) => secrets.hide(text),
    ask: isTerminal ? ask : null,
  });
}

async function migrateOrMove(args: string[]): Promise<void> {
  const options = {
    from: { type: 'string' },
    to: { type: 'string' },
    'dry-run': { type: 'boolean', default: false },
    force: { type: 'boolean', default: false },
    help: { type: 'boolean' },
  } as const;
  const { values } = parseArgs({ args, options });
  const { from, to, 'dry-run': dryRun, force, help } = values;
  if (help === true) return void process.stdout.write(`${USAGE}\n`);
  if (from === undefined && to === undefined && !dryRun && !force) return migrate(configuration());
  const target = checkMove(from, to);
  await move(configuration([target]), target, { dryRun, force });
}

async function move(config: Config, to: ServiceUrl, { dryRun, force }: { dryRun: boolean; force: boolean }): Promise<void> {
  const { dataDir, storeSql: statements, queue } = config;
  const onProgress = (counts: Counts) => void process.stderr.write(`${progressLine(counts)}\n`);
  const onQueueError = atMostEvery(QUEUE_LOG_MS, (fields: object) => log.warn(fields, 'QUEUE_URL: connection error'));
  const report = await moveEmbedded({
    dataDir,
    to,
    statements,
    dryRun,
    force,
    now: Date.now(),
    onProgress,
    onQueueError: (err) => onQueueError({ err }),
  });
  const lines = moveLines(report, { dataDir, to, queue, dryRun });
  process.stdout.write(`${secrets.hide(lines.join('\n'))}\n`);
  if (report.moved === null || report.moved.refused > 0) process.exitCode = 1;
}

async function migrate(config: Config): Promise<void> {
  const backends = await openBackends(config, log);
  try {
    await backends.queue.prepare();
    await backends.store.migrate();
    const { detail } = await backends.store.health();
    process.stdout.write(`store: ${detail}\n`);
    for (const sink of backends.history) {
      await sink.migrate();
      process.stdout.write(`history ${sink.name}: ${(await sink.health()).detail}\n`);
    }
  } finally {
    await backends.close();
  }
}

async function doctor(config: Config): Promise<void> {
  for await (const finding of diagnose(config, createLogger({ level: 'silent' }))) {
    process.stdout.write(`${secrets.hide(lineOf(finding))}\n`);
    if (finding.verdict === 'problem') process.exitCode = 1;
  }
}

// Node itself would print the error with all that hangs on it, a password of a driver's command too.
process.on('uncaughtException', (error) => {
  log.fatal({ err: error }, 'unexpected error: the process ends');
  process.exit(1);
});

main(process.argv[2]).catch((error: unknown) => {
  if (error instanceof ConfigError || error instanceof SettingError) {
    process.stderr.write(`${secrets.hide(error.message)}\n`);
    process.exit(EX_CONFIG);
  }
  process.stderr.write(`${secrets.hide(errorText(error))}\n`);
  process.exit(1);
});
