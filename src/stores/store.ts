import type { Health } from '../base/health';
import type { MigrationPlan, OnMigration } from '../base/migration';
import type { Message, MessageRef } from '../mqtt/message';
import type {
  ClientState,
  MessageQuery,
  Position,
  Purged,
  Refusal,
  RetainedRef,
  StateTimes,
  StoredRef,
  Subscription,
  SubscriptionRef,
  TopicCount,
  TopicQuery,
} from './values';

export * from './values';

/**
 * The contract of every database driver. `test/stores/conformance.ts` specifies it in code.
 *
 * Ids, topics and client ids are opaque. They are compared byte for byte (case matters), and sorted by code point.
 * Every method throws RetryableError for temporary trouble (away, timeout, overloaded) and ClosedError after close().
 * No method holds anything in memory that grows with the backlog.
 */
export interface Store extends MessageStore, PositionStore, ClientStore, RetainedStore {
  /** What this database can do. For each `false` the conformance suite checks that the database really can't do it. */
  readonly capabilities: Capabilities;

  /**
   * Creates or upgrades the schema from migrations/<database>/. Idempotent, and safe if two processes call it at once.
   * @param onProgress is told how far the migration is.
   */
  migrate(onProgress?: OnMigration): Promise<void>;

  /** Tells what migrate() would do now. Changes nothing. */
  migrationPlan(): Promise<MigrationPlan>;

  /** Never throws; answers within 3 s. If something is wrong, `detail` names the setting to check. */
  health(): Promise<Health>;

  close(): Promise<void>;
}

/**
 * Stored messages, and the tombstones of removed ones. Methods that remove messages count them: a message that two
 * processes remove at the same moment may be counted by both.
 */
export interface MessageStore {
  /**
   * Stores messages in a constant number of round trips. Idempotent by id: a message that is stored already, or whose
   * id was removed earlier (tombstone, promises 2 and 3), changes nothing. A batch may contain duplicates.
   * @returns the messages that the database rejects because of their content (promise 13). All others are stored.
   */
  saveMessages(messages: readonly Message[]): Promise<Refusal[]>;

  /**
   * Removes messages and leaves a tombstone for each id at least until `tombstoneUntil` (ms), whether it was stored or
   * not. A publish that arrives after its acknowledgement (promise 3) or a second time (promise 2) must not come back.
   * Idempotent.
   * @returns how many of the messages were stored, for metrics and for the answer of a purge.
   */
  removeMessages(refs: readonly MessageRef[], tombstoneUntil: number): Promise<number>;

  /** @param topic of the message, if the caller knows it. Databases that keep messages by topic answer faster then. */
  getMessage(id: string, topic?: string): Promise<Message | null>;

  /**
   * Topics that match the filter and have at least one stored message, in ascending order, only those greater than
   * `after`. May contain a topic whose messages have all expired.
   */
  listTopics(query: TopicQuery): Promise<string[]>;

  /**
   * Messages of one topic by ascending id, only those greater than `after`, without expired ones. Reads little more
   * than it returns.
   */
  listMessages(query: MessageQuery): Promise<Message[]>;

  /**
   * Like listMessages, but only ids and times, so that payloads are never read in order to count or remove messages.
   */
  listRefs(query: MessageQuery): Promise<StoredRef[]>;

  /**
   * Removes the oldest messages of the topic until `keep` are left (policy maxStored).
   * @returns how many it removed.
   */
  trimTopic(topic: string, keep: number): Promise<number>;

  /**
   * Removes up to `limit` expired messages and up to `limit` expired tombstones.
   * @returns the number of removed messages, and whether there may be more messages or tombstones.
   */
  purgeExpired(now: number, limit: number): Promise<Purged>;

  /** The number of stored messages. It is an estimate if counting would read the backlog. */
  countMessages(): Promise<number>;

  /**
   * The size and the age of each topic's backlog, with one entry for each topic in `topics`. No payload leaves the database.
   * Databases that must read entries in order to count stop at MOST_COUNTED for each topic.
   */
  topicCounts(topics: readonly string[], now: number): Promise<ReadonlyMap<string, TopicCount>>;

  /**
   * publishReceivedAt (ms) of the oldest stored message that has not expired; null when nothing is stored. The work is
   * bounded, so the answer is an estimate: each driver says what its estimate is made of. For EMQX's ids, which ascend
   * with time, most drivers answer exactly.
   */
  oldestMessageAt(now: number): Promise<number | null>;
}

/** Read positions (pubsub mode). */
export interface PositionStore {
  /** Read positions of the consumer in these topics. Topics without a position are left out. */
  getPositions(consumer: string, topics: readonly string[]): Promise<Position[]>;
  /** All of the consumer's positions by ascending topic, only those greater than `after`. */
  listPositions(consumer: string, after: string, limit: number): Promise<Position[]>;
  /**
   * Replaces positions. A position whose stored `version` is greater stays unchanged, so that a process that stood
   * still can't overwrite what another process has written since (promise 21). A position with neither id nor receipts
   * is deleted, under the same condition.
   */
  putPositions(positions: readonly Position[]): Promise<void>;
  /** The positions of all consumers in a topic, for purging messages that all have read. */
  positionsOfTopic(topic: string): Promise<Position[]>;
  /**
   * Deletes up to `limit` positions whose consumer was last seen before `before`, or up to a day earlier (ms; see
   * Position.receipts).
   */
  purgePositions(before: number, limit: number): Promise<Purged>;
}

/** Client states, and the subscriptions that the broker makes for clients. */
export interface ClientStore {
  /** Keeps the newest state by `at`. An older event that arrives late changes nothing. */
  saveClientStates(states: readonly ClientState[]): Promise<void>;
  getClientState(clientid: string): Promise<ClientState | null>;
  /**
   * Deletes up to `limit` states that are older than `before`. The state of a client with an assigned subscription
   * stays.
   */
  purgeClientStates(before: StateTimes, limit: number): Promise<Purged>;

  /**
   * Adds or replaces subscriptions that the broker makes for clients. An assigned subscription stays an assigned one if
   * an event reports it as well.
   */
  putSubscriptions(subscriptions: readonly Subscription[]): Promise<void>;
  deleteSubscriptions(refs: readonly SubscriptionRef[]): Promise<void>;
  /** A client's subscriptions by ascending topic filter. A QoS outside 0 to 2 in an old row is clamped. */
  listSubscriptions(clientid: string): Promise<Subscription[]>;
  /**
   * Deletes up to about `limit` subscriptions that an event reported (`seenAt`), of clients that were last seen before
   * this time. Such a client is not connected, its state has not changed since, and no event has reported any of its
   * subscriptions since. Assigned subscriptions stay.
   */
  purgeSubscriptions(before: number, limit: number): Promise<Purged>;
}

/**
 * Retained messages. Of two messages of a topic, the one with the greater publishReceivedAt is newer; if these are
 * equal, the one with the greater id. Ids alone don't tell, because a last will has the id of its client's CONNECT, and
 * a delayed message the id of the time at which it was sent to EMQX.
 */
export interface RetainedStore {
  /** Keeps the newest message of its topic. An older message that arrives late changes nothing. */
  putRetained(messages: readonly Message[]): Promise<Refusal[]>;
  /** Deletes the topic's retained message, unless it is newer than the given one. */
  deleteRetained(refs: readonly RetainedRef[]): Promise<void>;
  /** Retained messages whose topic matches the filter, by ascending topic, only topics greater than `after`. */
  listRetained(query: TopicQuery): Promise<Message[]>;
}

export interface Capabilities {
  /** True if the next read on any connection sees the effect of removeMessages and putPositions. */
  readonly readYourWrites: boolean;
  /** True if saveMessages can keep a removed message from coming back. */
  readonly tombstones: boolean;
}
