import type { MessageRef, QoS } from '../mqtt/message';

/** What the methods of a store (store.ts) take and return. */

/** What decides which retained message of a topic is newer. */
export interface RetainedRef extends MessageRef {
  /** In ms. */
  readonly publishReceivedAt: number;
}

export interface Refusal {
  readonly id: string;
  readonly reason: string;
}

/** The result of a purge. */
export interface Purged {
  readonly removed: number;
  /** True if the purge stopped at its limit. The caller then calls it again at once. */
  readonly more: boolean;
}

/** States up to these times are purged (ms). */
export interface StateTimes {
  readonly disconnected: number;
  readonly connected: number;
}

export interface TopicQuery {
  /** An MQTT topic filter without `$share/...`. */
  readonly filter: string;
  /** Only topics after this one; '' starts at the beginning. */
  readonly after: string;
  readonly limit: number;
}

/**
 * topicCounts() counts at most this many messages of a topic where the database has to read an entry for each: the
 * number then means "this many or more".
 */
export const MOST_COUNTED = 10_000;

/**
 * oldestMessageAt() compares the times of this many messages with the smallest ids: a delayed message or a last will
 * may be older than its neighbours.
 */
export const OLDEST_COMPARED = 100;

/** The backlog of one topic. */
export interface TopicCount {
  /** Stored messages. Expired ones count until they are purged. */
  readonly messages: number;
  /** publishReceivedAt (ms) of the message with the smallest id that has not expired; null when there is none. */
  readonly oldestAt: number | null;
}

/** The id of a stored message, and when it was published. */
export interface StoredRef {
  readonly id: string;
  /** In ms. */
  readonly publishReceivedAt: number;
}

export interface MessageQuery {
  readonly topic: string;
  /** Only ids after this one; '' starts at the beginning. */
  readonly after: string;
  readonly limit: number;
  /** Messages that have expired at this time (ms) are left out. */
  readonly now: number;
}

/** How far a consumer (a clientid, or `$share/{group}`) has read a topic in pubsub mode. */
export interface Position {
  readonly consumer: string;
  readonly topic: string;
  /** Everything up to this id is acknowledged; '' if only receipts are known. */
  readonly id: string;
  /**
   * Ids above `id` that are acknowledged already, so that a late write between them is still delivered (promise 17),
   * and the other entries of src/mailbox/positions/read-set.ts. Stores interpret only one entry: `@TIME`, when the
   * consumer was last seen (ms). A position without it counts as seen when it was written. For a row of EMQX's plugin
   * that is the time of the takeover.
   */
  readonly receipts: readonly string[];
  /** Increases with each write. Absent means 0, as in a row of EMQX's plugin. */
  readonly version?: number;
}

export interface ClientState {
  readonly clientid: string;
  readonly connected: boolean;
  readonly node: string | null;
  /** In ms; null if unknown. */
  readonly connectedAt: number | null;
  readonly disconnectedAt: number | null;
  /** When the event happened that reported this state (ms). */
  readonly at: number;
}

export interface SubscriptionRef {
  readonly clientid: string;
  /** The topic filter, including `$share/...`. */
  readonly topic: string;
}

export interface Subscription extends SubscriptionRef {
  readonly qos: QoS;
  /**
   * Only for storing: when an event reported the subscription (ms). Without it the subscription is an assigned one,
   * which stays until it is deleted.
   */
  readonly seenAt?: number;
}
