import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request, type Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newId } from '../test/support/messages';
import type { Answer } from './pipeline';

/** The build that is measured: ../dist, or the one whose main.js SERVER names. */
const SERVER = process.env['SERVER'] ?? join(__dirname, '../dist/main.js');

const PAYLOAD = Buffer.alloc(200, 'x').toString('base64');
let count = 0;

/** A message.publish as EMQX posts it. */
export function publishEvent(topics: number): string {
  const at = Date.now();
  return JSON.stringify({
    ...{ event: 'message.publish', id: newId(), clientid: 'bench', username: 'undefined', topic: `t/${count++ % topics}`, qos: 1 },
    ...{ flags: { retain: false, dup: false }, pub_props: { 'User-Property': {} }, publish_received_at: at, timestamp: at },
    ...{ payload_base64: PAYLOAD, correlation_data_base64: 'undefined' },
  });
}

/** @returns the status, and the header Retry-After. */
export function post(agent: Agent, port: number, body: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const sent = request({ agent, port, host: '127.0.0.1', method: 'POST', path: '/v1/events/message.publish', headers }, (response) => {
      response.resume();
      response.on('end', () => resolve({ status: response.statusCode ?? 0, retryAfter: response.headers['retry-after'] }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

/** The compiled server in its own process with its own data. */
export class BenchServer {
  private constructor(
    private readonly child: ChildProcess,
    private readonly directory: string,
    readonly port: number,
  ) {}

  /** Resolves when the server is ready. `env` has its settings. */
  static async start(port: number, env: Readonly<Record<string, string>>, nodeArgs: readonly string[] = []): Promise<BenchServer> {
    const directory = mkdtempSync(join(tmpdir(), 'offline-bench-'));
    const settings = { PATH: process.env['PATH'] ?? '', PORT: String(port), DATA_DIR: directory, ...env };
    const child = spawn(process.execPath, [...nodeArgs, SERVER, 'serve'], { env: settings, stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output = (output + chunk.toString()).slice(-10_000)));
    while (!output.includes('"msg":"ready"')) {
      if (child.exitCode !== null) throw new Error(`the server ended:\n${output}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return new BenchServer(child, directory, port);
  }

  async stats(): Promise<{ messages: number; lanes: { waiting: number; active: number }[] }> {
    return (await (await fetch(`http://127.0.0.1:${this.port}/v1/stats`)).json()) as never;
  }

  /** Messages written since its start; what /v1/stats says of a large table is the planner's estimate. */
  async stored(): Promise<number> {
    const metrics = await (await fetch(`http://127.0.0.1:${this.port}/metrics`)).text();
    return Number(/^emqx_offline_messages_stored_total (\d+)/m.exec(metrics)?.[1] ?? NaN);
  }

  /** The number of jobs in the lanes. */
  async backlog(): Promise<number> {
    return (await this.stats()).lanes.reduce((sum, { waiting, active }) => sum + waiting + active, 0);
  }

  /** Waits until the lanes are empty. @returns the time (ms). */
  async drained(): Promise<number> {
    const start = performance.now();
    while ((await this.backlog()) > 0) await new Promise((resolve) => setTimeout(resolve, 100));
    return performance.now() - start;
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /**
   * The anonymous memory of the process (MB). The rest of its resident memory are pages of files, such as the embedded
   * database.
   */
  get anonymous(): number {
    return Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${this.child.pid}/status`, 'utf8'))?.[1] ?? NaN) / 1024;
  }

  async stop(): Promise<void> {
    const exit = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await exit;
    rmSync(this.directory, { recursive: true });
  }
}
