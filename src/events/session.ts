import type { components } from '../contract/openapi';
import { NEVER_EXPIRES, type SessionNews } from './event';

type Connected = Pick<components['schemas']['ClientConnected'], 'clean_start' | 'expiry_interval' | 'rule_set'>;

/** MQTT 5's Session Expiry Interval of a session that never ends (s). */
const NEVER_S = 4_294_967_295;

const SESSION_RULES: readonly unknown[] = ['offline-messages', 'offline-only'];

/**
 * Accepts any JSON. A value that can't be understood counts as absent, because EMQX can be asked and the event must not
 * be lost.
 */
export function sessionNews({ clean_start, expiry_interval, rule_set }: Connected): SessionNews {
  return {
    cleanStart: typeof clean_start === 'boolean' ? clean_start : null,
    expiryMs: expiryMs(expiry_interval),
    sessionOnly: SESSION_RULES.includes(rule_set),
  };
}

function expiryMs(seconds: unknown): number | null {
  if (typeof seconds !== 'number' || !Number.isSafeInteger(seconds) || seconds < 0) return null;
  return seconds >= NEVER_S ? NEVER_EXPIRES : seconds * 1000;
}
