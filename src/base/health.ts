import { within } from './deadline';
import { errorText } from './errors';

export interface Health {
  readonly ok: boolean;
  /** One line: product and version when ok, otherwise what is wrong and which setting to look at. Never a secret. */
  readonly detail: string;
}

/** What a database may lose of what it has confirmed. */
export interface Weakness {
  readonly text: string;
  readonly remedy: string;
}

const HEALTH_TIMEOUT_MS = 3_000;

/**
 * Answers in time and never throws, whatever the check does. `setting` is the one to look at; `trouble` is asked why there is no
 * answer, for clients that connect in the background and only wait.
 */
export async function healthWithin(
  setting: string,
  check: () => Promise<string>,
  trouble: () => string | null = () => null,
): Promise<Health> {
  const late = () => new Error(trouble() ?? `no answer within ${HEALTH_TIMEOUT_MS / 1000} s`);
  try {
    return { ok: true, detail: await within(HEALTH_TIMEOUT_MS, check(), late) };
  } catch (error) {
    return { ok: false, detail: `${setting}: ${errorText(error)}` };
  }
}
