import { writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Environment } from '../../src/embedded/environment';
import { Work } from './power-work';

const MOST_IN_FLIGHT = 100;
/** More than one transaction has. */
const BEHIND = 30;

/**
 * Makes steps in the environment in argv[2], argv[3] of them, and prints `confirmed n` for what durably() has confirmed. With argv[4] "early" it prints that
 * as soon as the step is made, before its transaction is committed. Then it kills itself in a step, while earlier ones are on their way to the disk.
 */
async function main([directory = '', steps = '', mode]: readonly string[]): Promise<void> {
  const environment = await Environment.open(directory);
  const work = new Work(environment);
  const confirm = (n: number) => writeSync(1, `confirmed ${n}\n`);
  const end = work.last + Number(steps);
  const inFlight = new Set<number>();

  async function make(n: number): Promise<void> {
    inFlight.add(n);
    const step = () => {
      if (n >= end && Math.min(...inFlight) < n - BEHIND) process.kill(process.pid, 'SIGKILL');
      work.step(n);
      if (mode === 'early') confirm(n);
    };
    if (n % 4 === 0) {
      await environment.write(step);
    } else {
      await environment.durably(step);
      if (mode !== 'early') confirm(n);
    }
    inFlight.delete(n);
  }

  // Another turn of the event loop is another transaction, also while the one before is synced.
  for (let n = work.last + 1; ; ) {
    for (let left = 1 + (n % 5); left > 0 && inFlight.size < MOST_IN_FLIGHT; left--) void make(n++);
    await sleep(1);
  }
}

void main(process.argv.slice(2));
