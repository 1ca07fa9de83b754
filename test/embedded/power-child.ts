import { writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Environment } from '../../src/embedded/environment';
import { Work } from './power-work';

const MOST_IN_FLIGHT = 100;
/** So many steps are in more than one transaction. */
const SEVERAL = 30;

/**
 * Makes steps in the environment in argv[2], argv[3] of them, and prints `began behind n`, `confirmed n` for what durably() and `written n` for what write()
 * has confirmed. With argv[4] "early" the former comes as soon as the step is made, before its transaction is committed. Then it kills itself while transactions are
 * on their way to the disk.
 */
async function main([directory = '', steps = '', mode]: readonly string[]): Promise<void> {
  const environment = await Environment.open(directory);
  const work = new Work(environment);
  const confirm = (n: number) => writeSync(1, `confirmed ${n}\n`);
  writeSync(1, `began behind ${work.last}\n`);
  const end = work.last + Number(steps);
  const inFlight = new Set<number>();

  async function make(n: number): Promise<void> {
    inFlight.add(n);
    const step = () => {
      work.step(n);
      if (mode === 'early') confirm(n);
    };
    if (n % 4 === 0) {
      await environment.write(step);
      writeSync(1, `written ${n}\n`);
    } else {
      await environment.durably(step);
      if (mode !== 'early') confirm(n);
    }
    inFlight.delete(n);
  }

  // Another turn of the event loop is another transaction, also while the one before is synced.
  for (let n = work.last + 1; ;) {
    for (let left = 1 + (n % 5); left > 0 && inFlight.size < MOST_IN_FLIGHT; left--) void make(n++);
    await sleep(1);
    if (n >= end && inFlight.size > SEVERAL) process.kill(process.pid, 'SIGKILL');
  }
}

void main(process.argv.slice(2));
