import type { Health } from '../base/health';
import type { Message, MessageRef, QoS } from '../mqtt/message';

/**
 * The contract of every database driver. `test/stores/conformance.ts` is its specification in code.
 *
 * Ids, topics and client ids are opaque: they compare byte for byte (case counts) and sort by code point as `id` and `topic`.
 * Every method throws RetryableError for a transient trouble (away, timeout, overloaded) and ClosedError after close().
 * No method keeps anything that grows with the backlog in memory.
 */
export interface Store extends MessageStore, PositionStore, ClientStore, RetainedStore {
  /** What this database can do; the conformance suite checks that the opposite fails where it says false. */
  readonly capabilities: Capabilities;

  /** Creates or upgrades the schema from migrations/<database>/. Idempotent, safe when two processes call it at once. */
  migrate(): Promise<void>;

  /** Never throws; answers within 3 s. `detail` names the setting to look at when something is wrong. */
  health(): Promise<Health>;

  close(): Promise<void>;
}

/** Stored messages, and the tombstones of removed ones. */
export interface MessageStore {
  /**
   * Stores messages in a constant number of round trips. Idempotent by id: a message that is stored already, or whose id
   * was removed earlier (tombstone, promises 2 and 3), is left as it is. Duplicates inside one batch are allowed.
   * @returns those that the database refuses for their content (promise 13); the others are stored.
   */
  saveMessages(messages: readonly Message[]): Promise<Refusal[]>;

  /**
   * Removes messages and leaves a tombstone for each id until `tombstoneUntil` (ms), stored or not: a publish that arrives after
   * its ack (promise 3) or a second time (promise 2) must not come back. Idempotent.
   * @returns how many were stored.
   */
  removeMessages(refs: readonly MessageRef[], tombstoneUntil: number): Promise<number>;

  getMessage(id: string): Promise<Message | null>;

  /**
   * Topics that have at least one stored message and match the MQTT topic filter, ascending, those greater than `after` only.
   * May also name a topic whose messages have all expired.
   */
  listTopics(query: TopicQuery): Promise<string[]>;

  /** Messages of one topic by ascending id, those greater than `after` only, expired ones left out. Reads about what it returns. */
  listMessages(query: MessageQuery): Promise<Message[]>;

  /** As listMessages, without what is in the messages: nothing reads payloads in order to count or to remove. */
  listRefs(query: MessageQuery): Promise<StoredRef[]>;

  /** Removes the oldest messages of the topic until `keep` are left (policy maxStored). @returns how many it removed. */
  trimTopic(topic: string, keep: number): Promise<number>;

  /** Removes up to `limit` expired messages and up to `limit` expired tombstones. It tells how many messages, and whether there may be more of either. */
  purgeExpired(now: number, limit: number): Promise<Purged>;

  /** The number of stored messages; an estimate where counting would read the backlog. */
  countMessages(): Promise<number>;

  /**
   * The size and the age of each topic's backlog, with one entry for each topic in `topics`. No payload leaves the database.
   * Databases that must read entries in order to count stop at MOST_COUNTED for each topic.
   */
  topicCounts(topics: readonly string[], now: number): Promise<ReadonlyMap<string, TopicCount>>;

  /**
   * publishReceivedAt (ms) of the oldest stored message that has not expired; null when nothing is stored. The work is bounded, so the
   * answer is an estimate: each driver says what its estimate is made of. For EMQX's ids, which ascend with time, most drivers answer exactly.
   */
  oldestMessageAt(now: number): Promise<number | null>;
}

/** Read positions (pubsub mode). */
export interface PositionStore {
  /** Read positions of the consumer in these topics; a topic without one is left out. */
  getPositions(consumer: string, topics: readonly string[]): Promise<Position[]>;
  /** All of the consumer's positions by ascending topic, those greater than `after` only. */
  listPositions(consumer: string, after: string, limit: number): Promise<Position[]>;
  /**
   * Replaces positions, but one whose stored `version` is greater stays as it is: a process that stood still can't overwrite what another one has
   * written since (promise 21). One with neither id nor receipts is deleted, on the same condition.
   */
  putPositions(positions: readonly Position[]): Promise<void>;
  /** All consumers' positions in a topic (for purging what everyone has read). */
  positionsOfTopic(topic: string): Promise<Position[]>;
  /** Deletes up to `limit` positions whose consumer was seen last before this time, or up to a day earlier (ms; see Position.receipts). */
  purgePositions(before: number, limit: number): Promise<Purged>;
}

/** Client states, and subscriptions that the broker makes for clients. */
export interface ClientStore {
  /** Keeps the newest state by `at`: an older event that arrives late changes nothing. */
  saveClientStates(states: readonly ClientState[]): Promise<void>;
  getClientState(clientid: string): Promise<ClientState | null>;
  /** Deletes up to `limit` states that are older than `before`. The state of a client with an assigned subscription stays. */
  purgeClientStates(before: StateTimes, limit: number): Promise<Purged>;

  /** Adds or replaces subscriptions that the broker makes for clients. One that was assigned stays so when an event tells of it. */
  putSubscriptions(subscriptions: readonly Subscription[]): Promise<void>;
  deleteSubscriptions(refs: readonly SubscriptionRef[]): Promise<void>;
  /** A client's subscriptions, by ascending topic filter. A QoS outside 0..2 in an old row is clamped. */
  listSubscriptions(clientid: string): Promise<Subscription[]>;
  /**
   * Deletes up to about `limit` subscriptions that an event told of (`seenAt`), of clients that were seen last before this time: no event has
   * told of any of their subscriptions since, they are not connected, and their state has not changed since. Assigned ones stay.
   */
  purgeSubscriptions(before: number, limit: number): Promise<Purged>;
}

/**
 * Retained messages. Which of a topic's messages is newer is decided by publishReceivedAt, and by the id where that is the same: ids alone do not tell,
 * because a last will has the id of its client's CONNECT, and a delayed message that of the time when it was handed in.
 */
export interface RetainedStore {
  /** Keeps the newest message of its topic: an older one that arrives late changes nothing. */
  putRetained(messages: readonly Message[]): Promise<Refusal[]>;
  /** Removes the topic's retained message unless it is newer than the given one. */
  deleteRetained(refs: readonly RetainedRef[]): Promise<void>;
  /** Retained messages whose topic matches the filter, by ascending topic, greater than `after` only. */
  listRetained(query: TopicQuery): Promise<Message[]>;
}

/** What says which retained message of a topic is newer. */
export interface RetainedRef extends MessageRef {
  /** ms */
  readonly publishReceivedAt: number;
}

export interface Capabilities {
  /** removeMessages and putPositions are seen by the next read on any connection. */
  readonly readYourWrites: boolean;
  /** saveMessages can keep the id of a removed message from coming back. */
  readonly tombstones: boolean;
}

export interface Refusal {
  readonly id: string;
  readonly reason: string;
}

/** What a purge did. */
export interface Purged {
  readonly removed: number;
  /** It stopped at its limit: to be called again at once. */
  readonly more: boolean;
}

/** ms: until when states are purged. */
export interface StateTimes {
  readonly disconnected: number;
  readonly connected: number;
}

export interface TopicQuery {
  /** An MQTT topic filter without `$share/...`. */
  readonly filter: string;
  /** '' starts at the beginning. */
  readonly after: string;
  readonly limit: number;
}

/** topicCounts() counts at most this many messages of a topic where the database has to read an entry for each: the number then means "this many or more". */
export const MOST_COUNTED = 10_000;

/** oldestMessageAt() compares the times of this many messages with the smallest ids: a delayed message or a last will may be older than its neighbours. */
export const OLDEST_COMPARED = 100;

/** The backlog of one topic. */
export interface TopicCount {
  /** Stored messages. Expired ones count until they are purged. */
  readonly messages: number;
  /** publishReceivedAt (ms) of the message with the smallest id that has not expired; null when there is none. */
  readonly oldestAt: number | null;
}

/** What tells when a stored message was published. */
export interface StoredRef {
  readonly id: string;
  /** ms */
  readonly publishReceivedAt: number;
}

export interface MessageQuery {
  readonly topic: string;
  /** '' starts at the beginning. */
  readonly after: string;
  readonly limit: number;
  /** ms: messages that have expired by then are left out. */
  readonly now: number;
}

/** How far a consumer (a clientid, or `$share/{group}`) has read a topic in pubsub mode. */
export interface Position {
  readonly consumer: string;
  readonly topic: string;
  /** Everything up to this id is acknowledged; '' when only receipts are known. */
  readonly id: string;
  /**
   * Ids above `id` that are acknowledged already (promise 17: a late write between them is still delivered), and the other entries of
   * src/mailbox/positions/read-set.ts. Stores know one of these: `@TIME`, when the consumer was seen last (ms). A position without it
   * counts as seen when it was written, and a row that EMQX wrote when it was taken over.
   */
  readonly receipts: readonly string[];
  /** Grows with each write. Absent, as in a row that EMQX wrote: 0. */
  readonly version?: number;
}

export interface ClientState {
  readonly clientid: string;
  readonly connected: boolean;
  readonly node: string | null;
  /** ms; null when unknown. */
  readonly connectedAt: number | null;
  readonly disconnectedAt: number | null;
  /** When the event that told so happened, in ms. */
  readonly at: number;
}

export interface SubscriptionRef {
  readonly clientid: string;
  /** The topic filter, `$share/...` included. */
  readonly topic: string;
}

export interface Subscription extends SubscriptionRef {
  readonly qos: QoS;
  /** To be stored only: when an event told of the subscription (ms). Without it the subscription is an assigned one and lasts until it is deleted. */
  readonly seenAt?: number;
}
