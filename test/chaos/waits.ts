import type { FaultBetween } from './causes';
import type { Record } from './record';

/** Subscriptions that follow each other more quickly are one (promise 9; STORM_MS in src/mailbox/times.ts). ms. */
const STORM_MS = 2_500;

export interface Wait {
  readonly subscriber: string;
  readonly ms: number;
}

/** How long subscribers wait for the first stored message after they subscribed (promise 20: hostile neighbours must not delay them). Times in ms. */
export class Waits {
  /** Those in which nothing else was broken. */
  readonly all: Wait[] = [];
  private readonly since = new Map<string, number>();
  private readonly subscribedAt = new Map<string, number>();

  constructor(private readonly faultBetween: FaultBetween) {}

  /**
   * Only a subscriber of whom everything was settled is asked: what was sent to its last connection and not acknowledged may hold up what comes behind it.
   * @param open what is not acknowledged in its topics. @param goneSince when its last connection ended.
   */
  subscribes(subscriber: string, open: readonly Record[], goneSince: number, now: number): void {
    const isStorm = now - (this.subscribedAt.get(subscriber) ?? -Infinity) < STORM_MS;
    this.subscribedAt.set(subscriber, now);
    if (!isStorm && open.some(({ acceptedAt }) => acceptedAt !== null) && open.every((record) => isUntouched(record, goneSince)))
      this.since.set(subscriber, now);
  }

  /** How many have waited for longer than that, and still do. */
  longerThan(ms: number, now: number): number {
    return [...this.since.values()].filter((since) => now - since > ms).length;
  }

  /** It has got a stored message, or it leaves without one. */
  ends(subscriber: string, now: number): void {
    const since = this.since.get(subscriber);
    this.since.delete(subscriber);
    if (since !== undefined && this.faultBetween(since, now).size === 0) this.all.push({ subscriber, ms: now - since });
  }
}

/** It was published while the client was away: EMQX did not deliver it, and nor did we. */
function isUntouched({ publishedAt, readings }: Record, goneSince: number): boolean {
  return (publishedAt ?? Infinity) > goneSince && [...readings.values()].every(({ sends }) => sends.length === 0);
}
