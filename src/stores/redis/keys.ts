/**
 * The keys. EMQX's plugin uses `mqtt:msg:` for both a message's hash and a topic's sorted set, followed by the id or
 * the topic. If a topic looks like an id, or an id is not one of EMQX's, the key gets another name, so that both never
 * collide.
 */
export class Keys {
  /** @param prefix "mqtt" as in EMQX, unless the operator changes it. */
  constructor(private readonly prefix: string) {}

  /** Hash {id, from, qos, topic, payload, ts, retain}, and the server's own fields username, properties, expires_at. */
  message(id: string): string {
    return isEmqxId(id) ? `${this.prefix}:msg:${id}` : `${this.prefix}:msg-id:${id}`;
  }

  /** EMQX's sorted set of a topic's message ids, scored by the time in the id (ms; see id-score.ts), so that it is sorted by id. */
  topic(topic: string): string {
    return isEmqxId(topic) ? `${this.prefix}:msg-topic:${topic}` : `${this.prefix}:msg:${topic}`;
  }

  /** Sorted set with all scores 0: the topics that have messages. */
  get topics(): string {
    return `${this.prefix}:msg-topics`;
  }

  /**
   * Sorted set of message ids. The score of a stored message is the time at which it expires (ms; +inf: never). The
   * score of a removed message is negative: the time until which its tombstone is valid.
   */
  get lives(): string {
    return `${this.prefix}:msg-lives`;
  }

  /** Earlier releases: sorted set of all messages as `{id}:{topic}`, scored by the time at which they expire. */
  get expiry(): string {
    return `${this.prefix}:msg-expiry`;
  }

  /** Hash, like that of a message. */
  retained(topic: string): string {
    return `${this.prefix}:retain:${topic}`;
  }

  /** Sorted set with all scores 0: the topics that have a retained message. */
  get retainedTopics(): string {
    return `${this.prefix}:retain-topics`;
  }

  /** Hash {state, online_at, offline_at}, and the server's own fields node, changed_at. */
  client(clientid: string): string {
    return `${this.prefix}:client:${clientid}`;
  }

  /** EMQX's hash of the node's connected clients: clientid -> connected since (ms). */
  node(node: string): string {
    return `${this.prefix}:node:${node}`;
  }

  /** Hash: topic filter -> QoS. */
  subscriptions(clientid: string): string {
    return `${this.prefix}:sub:${clientid}`;
  }

  /**
   * Hash: topic -> {"version", "id", "receipts"}. `version` comes first (see scripts.ts), and is left out if it is 0.
   */
  positions(consumer: string): string {
    return `${this.prefix}:acked-by:${consumer}`;
  }

  /** Sorted set with all scores 0: the topics of positions(consumer). */
  positionTopics(consumer: string): string {
    return `${this.prefix}:acked-topics:${consumer}`;
  }

  /** Set: the consumers that have a position in the topic. */
  readers(topic: string): string {
    return `${this.prefix}:acked-in:${topic}`;
  }

  /**
   * EMQX's key: the id that was read last. null if the key would be ambiguous: `a:b` + `c` gives the same as `a` +
   * `b:c`.
   */
  acked(consumer: string, topic: string): string | null {
    return consumer.includes(':') ? null : `${this.prefix}:acked:${consumer}:${topic}`;
  }

  /** Sorted set: the clients that have a state, scored by its time (ms). */
  get clientsSeen(): string {
    return `${this.prefix}:client-seen`;
  }

  /** Sorted set: positions as `["consumer","topic"]`, scored by the time at which the consumer was last seen (ms). */
  get positionsSeen(): string {
    return `${this.prefix}:acked-seen`;
  }

  /** Sorted set: the clients that have entries in subscriptionsSeenOf(), scored by the newest (ms). */
  get subscriptionsSeen(): string {
    return `${this.prefix}:sub-seen`;
  }

  /**
   * Hash: topic filter -> when an event reported the subscription (ms), or 'assigned'. It does not contain those that EMQX or an earlier
   * release has assigned.
   */
  subscriptionsSeenOf(clientid: string): string {
    return `${this.prefix}:sub-seen:${clientid}`;
  }

  /** Hash: migration -> when it was run. */
  get migrations(): string {
    return `${this.prefix}:offline-migration`;
  }

  /** EMQX's key for a message and for the ids of a topic. It has one name for both. */
  emqxMsg(idOrTopic: string): string {
    return `${this.prefix}:msg:${idOrTopic}`;
  }

  /** A pattern for all keys of this kind, for SCAN ... MATCH. */
  all(kind: Kind): string {
    return `${escapeGlob(this.prefix)}:${kind}:*`;
  }

  /** The part of the key after `mqtt:{kind}:`. */
  rest(kind: Kind, key: string): string {
    return key.slice(`${this.prefix}:${kind}:`.length);
  }
}

/** Kinds of keys that are looked for. Earlier releases wrote msg-ids and msg-gone: the ids of a topic, and a tombstone. */
type Kind = 'msg' | 'msg-topic' | 'msg-ids' | 'msg-gone' | 'retain' | 'acked' | 'acked-by' | 'client';

/**
 * Whether the text looks like an id of EMQX 4 and 5 (32 hex digits), or of the plugin for 5 (base62 of the same 16
 * bytes).
 */
export function isEmqxId(text: string): boolean {
  return /^(?:[0-9A-F]{32}|[0-9A-Za-z]{16,27})$/.test(text);
}

const escapeGlob = (text: string): string => text.replace(/[*?[\]\\^]/g, '\\$&');
