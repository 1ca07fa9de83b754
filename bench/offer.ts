import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Load, Outcome } from './load';

/** Runs a file of this folder in a process of its own. */
export function child(file: string, env: Readonly<Record<string, string>> = {}): ChildProcess {
  return fork(join(__dirname, file), { execArgv: ['--import', 'tsx'], env: { ...process.env, ...env } });
}

export async function stopped(process: ChildProcess): Promise<void> {
  const exit = once(process, 'exit');
  process.kill('SIGTERM');
  await exit;
}

/** Makes the load in a process of its own, so that it does not slow down what is measured in this one. */
export async function offer(load: Load): Promise<Outcome> {
  const generator = child('generator.ts');
  generator.send(load);
  const [outcome] = (await once(generator, 'message')) as [Outcome];
  await stopped(generator);
  return outcome;
}
