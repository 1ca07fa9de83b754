import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { transformFileSync } from '@swc/core';
import { EmqxStandIn } from '../standin';
import { freePort } from '../support/process';
import { temporaryDirectory } from '../support/temp';
import { waitFor } from '../support/wait';
import { ROOT } from './markdown';
import { fillIn } from './shell';

export interface Result {
  readonly code: number | null;
  readonly output: string;
}

interface Shell {
  readonly child: ChildProcess;
  /** What it has written so far. */
  readonly output: () => string;
  /** Its exit code, when it and all that it started have closed their output. */
  readonly ended: Promise<number | null>;
}

/**
 * A terminal as the reader of the documentation has it: a shell in an empty folder, EMQX's stand-in, free ports in place of the documented ones.
 * `npm ci` does nothing, `npm start` and `node dist/main.js` run the sources, and questions are answered with yes.
 */
export class Session {
  private server: Shell | null = null;

  private constructor(
    private readonly emqx: EmqxStandIn,
    private readonly folder: ReturnType<typeof temporaryDirectory>,
    private readonly port: number,
  ) {}

  static async start(): Promise<Session> {
    const session = new Session(await EmqxStandIn.start(), temporaryDirectory(), await freePort());
    session.makePrograms();
    return session;
  }

  /** Runs a block that ends. */
  async run(block: string): Promise<Result> {
    const shell = this.spawn(block);
    return { code: await shell.ended, output: shell.output() };
  }

  /** Runs a block that ends with `npm start`. @returns when the server answers */
  async serve(block: string): Promise<void> {
    const shell = this.spawn(block);
    this.server = shell;
    let hasEnded = false;
    void shell.ended.then(() => (hasEnded = true));
    const answers = (): Promise<boolean> =>
      fetch(`http://127.0.0.1:${this.port}/healthz`).then(
        ({ ok }) => ok,
        () => false,
      );
    await waitFor('the server to listen', async () => hasEnded || (await answers()), 45_000);
    if (hasEnded) throw new Error(`the server ended:\n${shell.output()}`);
  }

  async stop(): Promise<void> {
    if (this.server !== null) {
      // The whole group: the shell and the server.
      process.kill(-(this.server.child.pid ?? 0), 'SIGTERM');
      await this.server.ended;
    }
    await this.emqx.stop();
    this.folder.remove();
  }

  private spawn(block: string): Shell {
    const text = fillIn(block)
      .replaceAll('127.0.0.1:8480', `127.0.0.1:${this.port}`)
      .replaceAll(/(^|\s|=)\/backups\//g, `$1${this.folder.path}/`)
      .replaceAll('DATA_DIR=./data', `DATA_DIR=${this.folder.path}/data`);
    const env = {
      PATH: `${this.folder.path}/bin:${process.env['PATH'] ?? ''}`,
      DATA_DIR: `${this.folder.path}/data`,
      PORT: String(this.port),
      EMQX_URL: this.emqx.apiUrl,
      EMQX_API_KEY: this.emqx.apiKey,
      EMQX_API_SECRET: this.emqx.apiSecret,
      MQTT_URL: this.emqx.mqttUrl,
    };
    const child = spawn('sh', ['-euc', text], { cwd: this.folder.path, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const ended = once(child, 'close').then(([code]) => code as number | null);
    return { child, output: () => output, ended };
  }

  private makePrograms(): void {
    const bin = join(this.folder.path, 'bin');
    mkdirSync(bin);
    const node = process.execPath;
    const run = `cd '${ROOT}' && exec '${node}' --import tsx src/main.ts`;
    /** As JavaScript: a process starts faster so than through tsx. */
    const standIn = (name: string): string => {
      const { code } = transformFileSync(join(__dirname, `programs/${name}.ts`), {
        jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
        module: { type: 'commonjs' },
      });
      writeFileSync(join(bin, `${name}.js`), code);
      return `NODE_PATH='${ROOT}/node_modules' exec '${node}' '${bin}/${name}.js' "$@"`;
    };
    const programs: Record<string, string> = {
      curl: standIn('curl'),
      mqttx: standIn('mqttx'),
      npm: `case "$*" in ci) exit 0;; start) ${run} serve;; *) echo "npm $* is not run here" >&2; exit 1;; esac`,
      node: `[ "$1" = dist/main.js ] || { echo "node $* is not run here" >&2; exit 1; }
shift
case " $* " in *' --install '*|*' --remove '*) set -- "$@" --yes;; esac
${run} "$@"`,
    };
    for (const [name, script] of Object.entries(programs)) {
      writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
      chmodSync(join(bin, name), 0o755);
    }
  }
}
