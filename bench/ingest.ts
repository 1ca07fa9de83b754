/**
 * Events accepted per second, beside a bare node:http server that parses the same JSON and runs the same validator: the price of durable
 * acceptance. Both in one run, one after the other, each in a process of its own.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { BenchServer, post, publishEvent } from './server';

const CONNECTIONS = 64;
const SECONDS = 5;
const TOPICS = 100;
const PORT = 18_480;

/** @returns answered 202 per second. */
async function load(port: number, seconds: number): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const start = performance.now();
  let accepted = 0;
  const connection = async () => {
    while (performance.now() - start < seconds * 1000) if ((await post(agent, port, publishEvent(TOPICS))).status === 202) accepted++;
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
  const server = await BenchServer.start(PORT, {});
  await load(PORT, 1);
  const rate = await load(PORT, SECONDS);
  await server.stop();
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
