import { within } from './deadline';
import { errorText } from './errors';

export interface Health {
  readonly ok: boolean;
  /**
   * One line. If ok, product and version; otherwise what is wrong and which setting to check. It never contains a
   * secret.
   */
  readonly detail: string;
}

/** A reason why a database may lose what it has confirmed. */
export interface Weakness {
  readonly text: string;
  readonly remedy: string;
}

const HEALTH_TIMEOUT_MS = 3_000;

/**
 * Always answers within the time limit and never throws.
 * @param setting the setting to check if there is an error.
 * @param trouble why there is no answer, for clients that connect in the background and only wait.
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
