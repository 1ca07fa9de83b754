import { errorText } from '../../errors';
import type { Health } from '../store';

const HEALTH_TIMEOUT_MS = 3_000;

/**
 * Answers in time and never throws, whatever the check does. `setting` is the one to look at; `trouble` is asked why there is no
 * answer, for clients that connect in the background and only wait.
 */
export async function healthWithin(setting: string, check: () => Promise<string>, trouble: () => string | null = () => null): Promise<Health> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(trouble() ?? `no answer within ${HEALTH_TIMEOUT_MS / 1000} s`)), HEALTH_TIMEOUT_MS);
  });
  try {
    return { ok: true, detail: await Promise.race([check(), late]) };
  } catch (error) {
    return { ok: false, detail: `${setting}: ${errorText(error)}` };
  } finally {
    clearTimeout(timer);
  }
}
