/**
 * The keys. EMQX's backend names a message's hash and a topic's sorted set alike, `mqtt:msg:` and then the id or the topic: where a topic
 * could be an id, or an id is none of EMQX's, the key gets a name of its own, so that they never meet.
 */
export class Keys {
  /** `prefix` is EMQX's "mqtt". */
  constructor(private readonly prefix: string) {}

  /** hash {id, from, qos, topic, payload, ts, retain} and ours: username, properties, expires_at. */
  message(id: string): string {
    return isEmqxId(id) ? `${this.prefix}:msg:${id}` : `${this.prefix}:msg-id:${id}`;
  }

  /** EMQX's sorted set of a topic's message ids, scored by the time of the message in ms. */
  topic(topic: string): string {
    return isEmqxId(topic) ? `${this.prefix}:msg-topic:${topic}` : `${this.prefix}:msg:${topic}`;
  }

  /** Sorted set, all scores 0: a topic's message ids in their own order. */
  ids(topic: string): string {
    return `${this.prefix}:msg-ids:${topic}`;
  }

  /** Sorted set, all scores 0: the topics that have messages. */
  get topics(): string {
    return `${this.prefix}:msg-topics`;
  }

  /** Sorted set of every message as `{id}:{topic}`, scored by when it expires (ms; +inf: never). */
  get expiry(): string {
    return `${this.prefix}:msg-expiry`;
  }

  /** string: until when (ms); lives as long. */
  tombstone(id: string): string {
    return `${this.prefix}:msg-gone:${id}`;
  }

  /** hash as a message. */
  retained(topic: string): string {
    return `${this.prefix}:retain:${topic}`;
  }

  /** Sorted set, all scores 0: the topics that have a retained message. */
  get retainedTopics(): string {
    return `${this.prefix}:retain-topics`;
  }

  /** hash {state, online_at, offline_at} and ours: node, changed_at. */
  client(clientid: string): string {
    return `${this.prefix}:client:${clientid}`;
  }

  /** EMQX's hash of the node's connected clients: clientid -> since when (ms). */
  node(node: string): string {
    return `${this.prefix}:node:${node}`;
  }

  /** hash: topic filter -> QoS. */
  subscriptions(clientid: string): string {
    return `${this.prefix}:sub:${clientid}`;
  }

  /** hash: topic -> {"version", "id", "receipts"}; `version` comes first (see scripts.ts) and is left out where it is 0. */
  positions(consumer: string): string {
    return `${this.prefix}:acked-by:${consumer}`;
  }

  /** Sorted set, all scores 0: the topics of positions(consumer). */
  positionTopics(consumer: string): string {
    return `${this.prefix}:acked-topics:${consumer}`;
  }

  /** set: the consumers that have a position in the topic. */
  readers(topic: string): string {
    return `${this.prefix}:acked-in:${topic}`;
  }

  /** EMQX's: the id that was read last. null where the key would be that of another pair as well: `a:b` + `c` is `a` + `b:c`. */
  acked(consumer: string, topic: string): string | null {
    return consumer.includes(':') ? null : `${this.prefix}:acked:${consumer}:${topic}`;
  }

  /** Sorted set: the clients that have a state, scored by its time (ms). */
  get clientsSeen(): string {
    return `${this.prefix}:client-seen`;
  }

  /** Sorted set: positions as `["consumer","topic"]`, scored by when the consumer was seen last (ms). */
  get positionsSeen(): string {
    return `${this.prefix}:acked-seen`;
  }

  /** Sorted set: the clients that have something in subscriptionsSeenOf(), scored by the newest (ms). */
  get subscriptionsSeen(): string {
    return `${this.prefix}:sub-seen`;
  }

  /** hash: topic filter -> when an event told of the subscription (ms). Assigned ones are not in it. */
  subscriptionsSeenOf(clientid: string): string {
    return `${this.prefix}:sub-seen:${clientid}`;
  }

  /** hash: migration -> when it was run. */
  get migrations(): string {
    return `${this.prefix}:offline-migration`;
  }

  /** As EMQX names it, whatever it means. */
  emqx(kind: 'msg', rest: string): string {
    return `${this.prefix}:${kind}:${rest}`;
  }

  /** Every key of EMQX's of this kind, for SCAN ... MATCH. */
  all(kind: 'msg' | 'retain' | 'acked' | 'acked-by' | 'client'): string {
    return `${escapeGlob(this.prefix)}:${kind}:*`;
  }

  /** What stands behind `mqtt:{kind}:`. */
  rest(kind: 'msg' | 'retain' | 'acked' | 'acked-by' | 'client', key: string): string {
    return key.slice(`${this.prefix}:${kind}:`.length);
  }
}

/** The ids of EMQX 4 and 5 (32 hex digits) and of the plugin for 5 (base62 of the same 16 bytes). */
export function isEmqxId(text: string): boolean {
  return /^(?:[0-9A-F]{32}|[0-9A-Za-z]{16,27})$/.test(text);
}

/** `{id}:{topic}`: an id has no colon. */
export const expiryMember = (id: string, topic: string): string => `${id}:${topic}`;

export function parseExpiryMember(member: string): { id: string; topic: string } {
  const colon = member.indexOf(':');
  return { id: member.slice(0, colon), topic: member.slice(colon + 1) };
}

const escapeGlob = (text: string): string => text.replace(/[*?[\]\\^]/g, '\\$&');
