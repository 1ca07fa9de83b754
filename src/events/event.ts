import type { QoS, WireMessage } from '../mqtt/message';

/**
 * EMQX's events as the rest of the server sees them: exact types, decided once at the door (parse.ts). Times are ms since 1970,
 * taken from the event, not from our clock. What EMQX writes as the string "undefined" is null or absent here.
 */
export type OfflineEvent =
  | PublishEvent
  | AckedEvent
  | DeliveredEvent
  | DeliveryDroppedEvent
  | SubscribedEvent
  | UnsubscribedEvent
  | ConnectedEvent
  | DisconnectedEvent
  | IgnoredEvent;

/** The user properties of a message that claims to be one of our deliveries. Not believed before the signature is checked (promise 18). */
export interface Mark {
  /** `offline-msgid`: the id of the stored message. */
  readonly id: string;
  /** `offline-sig`; '' when absent. */
  readonly signature: string;
}

/** message.publish, or message.dropped with reason no_subscribers (the offline-only rule). */
export interface PublishEvent {
  readonly type: 'publish';
  /** expiresAt carries the MQTT 5 expiry only; the policy's ttl comes later. */
  readonly message: WireMessage;
  readonly mark: Mark | null;
}

/** The broker got the client's PUBACK or PUBCOMP. */
export interface AckedEvent {
  readonly type: 'acked';
  /** EMQX's id of what was acknowledged: of the original publish, or of the server's REST publish (then `mark` names the stored one). null: durable sessions lose it. */
  readonly id: string | null;
  /** '': durable sessions lose it. */
  readonly topic: string;
  /** The subscriber. */
  readonly clientid: string;
  readonly mark: Mark | null;
  readonly at: number;
}

/** message.delivered: EMQX sent it to the subscriber with this QoS (the delivery's, not the publisher's). */
export interface DeliveredEvent extends Omit<AckedEvent, 'type'> {
  readonly type: 'delivered';
  readonly qos: QoS;
}

/** delivery.dropped: EMQX gave up a message for this subscriber (queue_full, expired, ...). */
export interface DeliveryDroppedEvent extends Omit<AckedEvent, 'type'> {
  readonly type: 'delivery-dropped';
  /** The delivery's. */
  readonly qos: QoS;
  readonly reason: string;
}

export interface SubscribedEvent {
  readonly type: 'subscribed';
  readonly clientid: string;
  /** The topic filter as subscribed, `$share/{group}/` included. */
  readonly filter: string;
  readonly qos: QoS;
  readonly at: number;
}

export interface UnsubscribedEvent {
  readonly type: 'unsubscribed';
  readonly clientid: string;
  readonly filter: string;
  readonly at: number;
}

export interface ConnectedEvent extends SessionNews {
  readonly type: 'connected';
  readonly clientid: string;
  readonly node: string | null;
  /** connected_at */
  readonly at: number;
  /** What EMQX puts before the client's topics and topic filters; null: nothing; absent: the event does not say. */
  readonly mountpoint?: string | null;
}

/** What client.connected says of the client's session. */
export interface SessionNews {
  /** MQTT's Clean Start: the client asked for a new session; null when the event does not say. */
  readonly cleanStart: boolean | null;
  /** How long EMQX keeps the session after the connection, in ms; 0: it ends with it; NEVER_EXPIRES; null when the event does not say. */
  readonly expiryMs: number | null;
  /** The rule tells about sessions only (`offline-messages`, `offline-only`): neither client state nor subscriptions follow from the event. */
  readonly sessionOnly: boolean;
}

/** Not Infinity, which JSON does not have. */
export const NEVER_EXPIRES = Number.MAX_SAFE_INTEGER;

export interface DisconnectedEvent {
  readonly type: 'disconnected';
  readonly clientid: string;
  readonly node: string | null;
  /** null when the event does not say. */
  readonly connectedAt: number | null;
  /** disconnected_at */
  readonly at: number;
}

/** An event that EMQX has and we have no use for: accepted, never refused (EMQX would drop it with an error in its log). */
export interface IgnoredEvent {
  readonly type: 'ignored';
  readonly event: string;
}
