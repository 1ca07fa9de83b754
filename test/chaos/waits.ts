import type { FaultBetween } from './causes';
import type { Record } from './record';

export interface Wait {
  readonly subscriber: string;
  readonly ms: number;
}

/** How long subscribers wait for the first stored message after they subscribed (promise 20: hostile neighbours must not delay them). Times in ms. */
export class Waits {
  /** Those in which nothing else was broken. */
  readonly all: Wait[] = [];
  private readonly since = new Map<string, number>();

  constructor(private readonly faultBetween: FaultBetween) {}

  /** @param open what is not acknowledged in its topics. @param goneSince when its last connection ended. */
  subscribes(subscriber: string, open: Iterable<Record>, goneSince: number, now: number): void {
    for (const record of open) {
      if (!isWaiting(record, goneSince)) continue;
      this.since.set(subscriber, now);
      return;
    }
  }

  /** It has got a stored message, or it leaves without one. */
  ends(subscriber: string, now: number): void {
    const since = this.since.get(subscriber);
    this.since.delete(subscriber);
    if (since !== undefined && this.faultBetween(since, now).size === 0) this.all.push({ subscriber, ms: now - since });
  }
}

/** It was published while the client was away, and is stored: nobody but the server has it. What was sent to the last connection may be on its way. */
function isWaiting({ publishedAt, acceptedAt, readings }: Record, goneSince: number): boolean {
  return acceptedAt !== null && (publishedAt ?? -Infinity) > goneSince && [...readings.values()].some(({ sends }) => sends.length === 0);
}
