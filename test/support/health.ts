import type { Health } from '../../src/base/health';
import { inTime, waitFor } from './wait';

interface Checked {
  health(): Promise<Health>;
}

/** A health check answers within 3 s. */
const LIMIT_MS = 3_500;

/** The result of a health check, which fails if it takes too long. */
export function healthInTime(of: Checked): Promise<Health> {
  return inTime('the health check', LIMIT_MS, of.health());
}

/** The same with a reason: on a busy machine the first attempt to connect may take longer than the check waits. */
export function reasonInTime(of: Checked): Promise<Health> {
  return waitFor('a reason', async () => {
    const health = await healthInTime(of);
    return health.detail.includes('no answer within') ? null : health;
  });
}
