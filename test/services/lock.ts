import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DIRECTORY } from './service';
import { until } from './wait';

const LOCK = join(DIRECTORY, 'lock');
const OWNER = join(LOCK, 'pid');
/** Installing may take that long. */
const TIMEOUT_MS = 20 * 60_000;

/** Only one starts or stops servers at a time. */
export async function locked(work: () => Promise<void>): Promise<void> {
  await until(LOCK, TIMEOUT_MS, () => Promise.resolve(take() ? 'done' : 'again'));
  try {
    await work();
  } finally {
    rmSync(LOCK, { recursive: true, force: true });
  }
}

function take(): boolean {
  try {
    mkdirSync(LOCK);
    writeFileSync(OWNER, String(process.pid));
    return true;
  } catch {
    if (ownerIsGone()) rmSync(LOCK, { recursive: true, force: true });
    return false;
  }
}

function ownerIsGone(): boolean {
  try {
    process.kill(Number(readFileSync(OWNER, 'utf8')), 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}
