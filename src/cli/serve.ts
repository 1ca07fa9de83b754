import { resolve } from 'node:path';
import { collectDefaultMetrics } from 'prom-client';
import { SettingError } from '../base/errors';
import { VERSION } from '../base/version';
import type { Config } from '../config/config';
import { installCommand } from '../ops/rules-text';
import { settingWarnings } from '../ops/setting-warnings';
import { NO_API_KEY } from '../ops/status';
import { EXIT, type Command } from './command';
import type { Shell } from './shell';

/** The longest time of a stop (ms). After it the process ends, and the jobs in hand stay in the queue. */
const STOP_TIMEOUT_MS = 9_000;

export const serve: Command = {
  name: 'serve',
  summary: 'Run the server.',
  usage: [''],
  description: [
    'Runs the server in the foreground. It prints its address, where its data is, and the command that installs the rule in EMQX.',
    'SIGTERM or SIGINT stops it: it finishes or gives back what is in hand. A second signal ends it at once.',
    'While a database is away the server waits for it. It does not need to be started again.',
  ],
  positionals: { least: 0, most: 0 },
  options: [],
  examples: [
    { command: 'emqx-offline-store serve', effect: 'Listens on 127.0.0.1:8480, with the embedded database in ./data.' },
    {
      command: 'CONFIG_FILE=settings.yaml PORT=9000 emqx-offline-store serve',
      effect: 'Reads the settings from a file. The environment wins.',
    },
  ],
  exitCodes: [
    { code: EXIT.done, meaning: 'The server was stopped by a signal.' },
    { code: EXIT.failed, meaning: 'The server cannot go on. The log says why.' },
  ],
  settings: ['all settings of the server'],
  async run(_given, shell) {
    const config = shell.configuration();
    const { log } = shell;
    log.info({ version: VERSION, node: process.version, pid: process.pid }, 'starting');
    for (const { about, text, advice } of settingWarnings(config, shell.env)) log.warn({ setting: about, advice }, `${about}: ${text}`);
    const { Server } = await import('../server/server.js');
    const server = await Server.start(config, log, (error) => fail(error, shell));
    // These are process_resident_memory_bytes, nodejs_eventloop_lag_seconds and others.
    collectDefaultMetrics({ register: server.metrics.registry });
    shell.print(...banner(config, server.url));
    stopOnSignals(server, shell);
    return null;
  },
};

/** Ends the process after an error of a setting or an unexpected error. */
function fail(error: unknown, shell: Shell): never {
  if (error instanceof SettingError) {
    shell.note(error.message);
    process.exit(EXIT.settings);
  }
  shell.log.fatal({ err: error }, 'a part of the server failed unexpectedly: the process ends');
  process.exit(EXIT.failed);
}

function stopOnSignals(server: { stop(): Promise<void> }, { log }: Shell): void {
  let stopping = false;
  const stop = (signal: NodeJS.Signals) => {
    if (stopping) process.exit(EXIT.failed);
    stopping = true;
    const begun = performance.now();
    log.info({ signal }, 'stopping; a second signal ends the process at once');
    setTimeout(() => {
      log.warn({ stop_ms: STOP_TIMEOUT_MS }, 'the stop takes too long: the process ends, and what was in hand stays in the queue');
      process.exit(EXIT.failed);
    }, STOP_TIMEOUT_MS).unref();
    server.stop().then(
      () => {
        log.info({ stop_ms: Math.round(performance.now() - begun) }, 'stopped');
        process.exit(EXIT.done);
      },
      (error) => {
        log.fatal({ err: error }, 'the stop failed unexpectedly');
        process.exit(EXIT.failed);
      },
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}

function banner(config: Config, url: string): string[] {
  const embedded = [config.store, config.queue].some(({ scheme }) => scheme === 'embedded');
  const keys = config.emqx.credentials === null ? ' and EMQX_API_KEY and EMQX_API_SECRET' : '';
  const port = config.port === 0 ? Number(new URL(url).port) : config.port;
  return [
    `emqx-offline-store listens on ${url}`,
    `data: store ${config.store}, queue ${config.queue}${embedded ? `, embedded database in ${resolve(config.dataDir)}` : ''}`,
    `put the rule into EMQX, with the same settings as this server${keys}:`,
    `  ${installCommand({ ...config, port })}`,
    ...(config.emqx.credentials === null ? [`WARNING: ${NO_API_KEY}`] : []),
  ];
}
