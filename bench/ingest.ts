/**
 * Events accepted per second, beside a bare node:http server that parses the same JSON and runs the same validator: the price of durable
 * acceptance. Both in one run, one after the other, each in a process of its own.
 */
import { fork, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newId } from '../test/support/messages';

const CONNECTIONS = 64;
const SECONDS = 5;
const TOPICS = 100;

let count = 0;

function event(): string {
  const at = Date.now();
  return JSON.stringify({
    event: 'message.publish',
    id: newId(),
    clientid: 'bench',
    username: 'undefined',
    topic: `t/${count++ % TOPICS}`,
    qos: 1,
    flags: { retain: false, dup: false },
    pub_props: { 'User-Property': {} },
    publish_received_at: at,
    timestamp: at,
    payload_base64: Buffer.alloc(200, 120).toString('base64'),
    correlation_data_base64: 'undefined',
  });
}

function post(agent: Agent, port: number, body: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const sent = request({ agent, port, host: '127.0.0.1', method: 'POST', path: '/v1/events/message.publish', headers }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode ?? 0));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

/** @returns answered 202 per second. */
async function load(port: number, seconds: number): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const start = performance.now();
  let accepted = 0;
  const connection = async () => {
    while (performance.now() - start < seconds * 1000) if ((await post(agent, port, event())) === 202) accepted++;
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, connection));
  agent.destroy();
  return accepted / ((performance.now() - start) / 1000);
}

async function stop(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  await exit;
}

async function measureBare(): Promise<number> {
  const child = fork(join(__dirname, 'bare.ts'), { execArgv: ['--import', 'tsx'] });
  const [port] = (await once(child, 'message')) as [number];
  await load(port, 1);
  const rate = await load(port, SECONDS);
  await stop(child);
  return rate;
}

async function measureServer(): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'offline-bench-'));
  const env = { ...process.env, PORT: '18480', DATA_DIR: directory };
  const child = spawn(process.execPath, [join(__dirname, '../dist/main.js'), 'serve'], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  for (let up = false; !up; await new Promise((resolve) => setTimeout(resolve, 100))) {
    up = await post(new Agent(), 18480, event()).then(
      (status) => status === 202,
      () => false,
    );
  }
  await load(18480, 1);
  const rate = await load(18480, SECONDS);
  await stop(child);
  rmSync(directory, { recursive: true });
  return rate;
}

async function main(): Promise<void> {
  const bare = await measureBare();
  const server = await measureServer();
  process.stdout.write(`bare node:http + validator: ${bare.toFixed(0)} events/s\n`);
  process.stdout.write(`server on the embedded database: ${server.toFixed(0)} events/s accepted durably\n`);
  process.stdout.write(`ratio: ${(server / bare).toFixed(3)}\n`);
}

void main();
