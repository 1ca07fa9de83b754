import type { QoS } from '../../mqtt/message';

/**
 * What a client wants of one topic filter, and what the broker has. EMQX's events don't say whether the client or the
 * server's REST call made a subscription. The difference matters: a subscription that the server makes again is not the
 * client's wish, and must not undo the client's unsubscribe. All functions are pure.
 */
export interface Wish {
  /** What the client itself wanted last. */
  readonly wanted: Subscribed;
  /** EMQX's newest event, whoever caused it. */
  readonly made: Subscribed;
  readonly asked: Asked | null;
}

/**
 * The server has asked EMQX for this. The next matching event is the answer to the server, not a wish of the client.
 */
export interface Asked {
  readonly qos: QoS | null;
  /** Events older than this time (ms, EMQX's clock) are not the answer. */
  readonly since: number;
  /** Events that arrive after this time (ms, the server's clock) are not the answer, because EMQX may have lost it. */
  readonly until: number;
}

export interface Subscribed {
  /** null if not subscribed. */
  readonly qos: QoS | null;
  /** When that happened (ms, EMQX's clock). */
  readonly at: number;
}

/**
 * `wish` is null if nothing is known. Events may come late, twice, and out of order. Of two events in one millisecond,
 * the one that arrives later counts.
 */
export function afterEvent(wish: Wish | null, event: Subscribed, now: number): Wish {
  if (wish === null) return { wanted: event, made: event, asked: null };
  if (event.at === wish.made.at && event.qos === wish.made.qos) return wish;
  const made = newer(wish.made, event);
  const isOurs = wish.asked !== null && wish.asked.qos === event.qos && event.at >= wish.asked.since && now <= wish.asked.until;
  if (isOurs) return { ...wish, made, asked: null };
  return { ...wish, made, wanted: newer(wish.wanted, event) };
}

/** The server has asked EMQX for what the client wants according to the store. */
export function afterAsking(wish: Wish | null, asked: Asked): Wish {
  const wanted = { qos: asked.qos, at: wish?.wanted.at ?? 0 };
  return { wanted, made: wish?.made ?? wanted, asked };
}

/** Whether EMQX has something else than the client wants, and no answer to the server is on its way. */
export function isOff({ wanted, made, asked }: Wish, now: number): boolean {
  return wanted.qos !== made.qos && (asked === null || now > asked.until);
}

function newer(known: Subscribed, event: Subscribed): Subscribed {
  return event.at >= known.at ? event : known;
}
