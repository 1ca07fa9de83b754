import { createHash } from 'node:crypto';
import type { Policy } from '../../config/policies';
import type { SharedState } from '../../lanes/state';
import type { MessageRef } from '../../mqtt/message';
import { policyFor } from '../../policies/policy';
import type { Store } from '../../stores/store';
import { LOOSE } from './compaction';
import { ReadSet } from './read-set';

/**
 * The consumer name under which all wildcard filters with readers are listed: each is the topic of one position. No
 * group has an empty name, so no consumer is called like this.
 */
export const FILTERS = '$share/';
const HOUR_MS = 3_600_000;

export interface PositionsDeps {
  readonly store: Pick<Store, 'getPositions' | 'putPositions' | 'listRefs'>;
  readonly state: Pick<SharedState, 'raise'>;
  readonly policies: readonly Policy[];
  readonly now: () => number;
}

/** A message that was read. `filters` are the consumer's wildcard filters that match its topic. */
export interface ReadRef extends MessageRef {
  readonly filters: readonly string[];
}

/** What the positions of all consumers need: store, shared state, clock and policies. */
export class Known {
  readonly store: PositionsDeps['store'];
  readonly state: PositionsDeps['state'];
  readonly now: () => number;
  /**
   * A consumer's row is written again when the time at which it was last seen is older than this (ms). It is far less
   * than any ttl.
   */
  readonly refreshMs: number;

  constructor(
    private readonly deps: PositionsDeps,
    readonly loose = LOOSE,
  ) {
    ({ store: this.store, state: this.state, now: this.now } = deps);
    const ttls = deps.policies.filter(({ mode }) => mode === 'pubsub').map(({ ttlMs }) => ttlMs);
    this.refreshMs = Math.min(HOUR_MS, ...ttls.map((ttl) => ttl / 4));
  }

  policyOf(topic: string): Pick<Policy, 'from' | 'ttlMs'> {
    return policyFor(this.deps.policies, topic) ?? { from: 'earliest', ttlMs: Infinity };
  }
}

/**
 * The state of a topic that the consumer has no row of. If several subscriptions match the topic, the earliest counts.
 */
export function startOf(consumer: string, topic: string, { from }: Pick<Policy, 'from'>, filterRows: readonly ReadSet[]): ReadSet {
  const set = new ReadSet(consumer, topic);
  const starts = filterRows.flatMap(({ startsAt }) => startsAt ?? []);
  if (from === 'now' && starts.length > 0) set.startsAt = Math.min(...starts);
  return set;
}

/**
 * The key in the shared state of a topic's mark: the greatest id that any consumer's position has passed or is about to
 * pass.
 */
export function markOf(topic: string): string {
  return `passed:${createHash('sha256').update(topic).digest('hex')}`;
}
