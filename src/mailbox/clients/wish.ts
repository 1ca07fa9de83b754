import type { QoS } from '../../mqtt/message';

/**
 * What a client wants of one topic filter, and what the broker has: pure functions. EMQX's events don't say whether the client or our REST
 * call made a subscription. It matters: a subscription that we make again is not the client's wish, and must not undo its unsubscribe.
 */
export interface Wish {
  /** The client's newest own word. */
  readonly wanted: Subscribed;
  /** EMQX's newest event, whoever caused it. */
  readonly made: Subscribed;
  readonly asked: Asked | null;
}

/** We asked EMQX for this: the next such event is ours. */
export interface Asked {
  readonly qos: QoS | null;
  /** An older event isn't; ms, EMQX's clock. */
  readonly since: number;
  /** An event that we see later isn't: EMQX may have lost ours. ms, our clock. */
  readonly until: number;
}

export interface Subscribed {
  /** null: not subscribed. */
  readonly qos: QoS | null;
  /** ms, EMQX's clock. */
  readonly at: number;
}

/** `wish` null: nothing is known. Events may come late, twice, and out of order; of two in one millisecond the later to arrive counts. */
export function afterEvent(wish: Wish | null, event: Subscribed, now: number): Wish {
  if (wish === null) return { wanted: event, made: event, asked: null };
  if (event.at === wish.made.at && event.qos === wish.made.qos) return wish;
  const made = newer(wish.made, event);
  const isOurs = wish.asked !== null && wish.asked.qos === event.qos && event.at >= wish.asked.since && now <= wish.asked.until;
  if (isOurs) return { ...wish, made, asked: null };
  return { ...wish, made, wanted: newer(wish.wanted, event) };
}

/** We asked EMQX for what the store says that the client wants. */
export function afterAsking(wish: Wish | null, asked: Asked): Wish {
  const wanted = { qos: asked.qos, at: wish?.wanted.at ?? 0 };
  return { wanted, made: wish?.made ?? wanted, asked };
}

/** EMQX has something else than the client wants, and no answer to us is on its way. */
export function isOff({ wanted, made, asked }: Wish, now: number): boolean {
  return wanted.qos !== made.qos && (asked === null || now > asked.until);
}

function newer(known: Subscribed, event: Subscribed): Subscribed {
  return event.at >= known.at ? event : known;
}
