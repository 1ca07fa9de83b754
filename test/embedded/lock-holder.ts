import { DirectoryLock } from '../../src/embedded/lock';

/** Takes the lock of the directory in argv[2], prints "held" or the reason why not, and keeps it until it is killed. */
async function main(): Promise<void> {
  try {
    await DirectoryLock.acquire(process.argv[2] ?? '');
    process.stdout.write('held\n');
    setInterval(() => undefined, 60_000);
  } catch (error) {
    process.stdout.write(`${(error as Error).name} ${(error as Error).message}\n`);
  }
}

void main();
