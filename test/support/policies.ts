import type { Policy } from '../../src/config/policies';

/** The default policy with some fields changed. */
export function policy(fields: Partial<Policy> = {}): Policy {
  return {
    filter: '#',
    mode: 'queue',
    from: 'earliest',
    deliverTo: 'topic',
    ttlMs: 7 * 86_400_000,
    maxStored: 100_000,
    fetch: { limit: null, maxAgeMs: null },
    window: 100,
    qos0: 'settle',
    settle: 'acknowledged',
    storeQos0: false,
    retain: 'off',
    ...fields,
  };
}
