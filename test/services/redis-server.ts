import { ownDirectory, serviceDirectory } from './files';
import { join } from 'node:path';
import { apt } from './debian';
import { startProcess } from './processes';
import { run } from './run';
import { HOST } from './service';

export interface RedisOptions {
  readonly service: string;
  readonly name?: string;
  readonly port: number;
  readonly args?: readonly string[];
}

/**
 * How long a node of a cluster, or the master of sentinels, may be silent before the others take it for dead (ms). No
 * test waits for that with these servers. A busy machine or disk may keep one from answering for seconds. Example with
 * 2 s: while a node was stopped for 3 s the cluster answered CLUSTERDOWN, and the sentinels made the replica the
 * master.
 */
export const SILENCE_MS = 60_000;

export const installRedis = (): Promise<void> => apt('redis-server');

/** Durable and without eviction, as a queue needs it. */
export async function startRedis({ service, name = service, port, args = [] }: RedisOptions): Promise<void> {
  const data = ownDirectory(join(serviceDirectory(service), name));
  const common = ['--bind', HOST, '--dir', data, '--appendonly', 'yes', '--save', '', '--maxmemory-policy', 'noeviction'];
  await startProcess({ service, name, command: 'redis-server', args: ['--port', String(port), ...common, ...args], port });
}

/** @returns what redis-cli prints, without the last line feed. */
export async function redisCli(port: number, ...args: readonly string[]): Promise<string> {
  return (await run('redis-cli', ['-e', '-h', HOST, '-p', String(port), ...args])).trimEnd();
}

export async function expectAnswer(answer: Promise<string>, wanted: string | RegExp): Promise<void> {
  const text = await answer;
  if (typeof wanted === 'string' ? text !== wanted : !wanted.test(text)) throw new Error(`unexpected answer: ${text}`);
}
