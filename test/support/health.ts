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

/** What a health check says when its time is over and nothing has failed. MongoDB's has a shorter time, and says what to check. */
const NO_ANSWER = /\bno answer within\b|\bgives no answer\b/;

/**
 * The result of a health check to which the server has answered. On a busy machine the first attempt to connect may
 * take longer than a check waits, and the check is then repeated.
 */
export function answeredHealth(of: Checked): Promise<Health> {
  return waitFor('an answer', async () => {
    const health = await healthInTime(of);
    return NO_ANSWER.test(health.detail) ? null : health;
  });
}
