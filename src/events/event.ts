import type { QoS, WireMessage } from '../mqtt/message';

/**
 * EMQX's events in the server's own types, which the door decides once (parse.ts). Times are ms since 1970, from the
 * event and not from the server's clock. Where EMQX writes the string "undefined", the value is null or absent here.
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

/**
 * The user properties of a message that claims to be a copy from this server. They count only after the signature is
 * checked (promise 18).
 */
export interface Mark {
  /** `offline-msgid`: the id of the stored message. */
  readonly id: string;
  /** `offline-sig`; '' if absent. */
  readonly signature: string;
}

/** message.publish, or message.dropped with the reason no_subscribers (rule `offline-only`). */
export interface PublishEvent {
  readonly type: 'publish';
  /** Its expiresAt contains only the MQTT 5 expiry. The policy's ttl is added later. */
  readonly message: WireMessage;
  readonly mark: Mark | null;
}

/** The broker has received the client's PUBACK or PUBCOMP. */
export interface AckedEvent {
  readonly type: 'acked';
  /**
   * EMQX's id of the acknowledged message: the original publish, or the server's REST publish (`mark` then names the
   * stored message). null in durable sessions, which lose it.
   */
  readonly id: string | null;
  /** '' in durable sessions, which lose it. */
  readonly topic: string;
  /** The subscriber. */
  readonly clientid: string;
  readonly mark: Mark | null;
  readonly at: number;
}

/**
 * message.delivered: EMQX has sent the message to the subscriber with this QoS (the QoS of the delivery, not of the
 * publish).
 */
export interface DeliveredEvent extends Omit<AckedEvent, 'type'> {
  readonly type: 'delivered';
  readonly qos: QoS;
}

/** delivery.dropped: EMQX has dropped a message for this subscriber (queue_full, expired, ...). */
export interface DeliveryDroppedEvent extends Omit<AckedEvent, 'type'> {
  readonly type: 'delivery-dropped';
  /** The QoS of the delivery. */
  readonly qos: QoS;
  readonly reason: string;
}

export interface SubscribedEvent {
  readonly type: 'subscribed';
  readonly clientid: string;
  /** The topic filter as subscribed, including `$share/{group}/`. */
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
  /** EMQX's connected_at. */
  readonly at: number;
  /**
   * The prefix that EMQX puts before the client's topics and topic filters. null: none; absent: the event does not say.
   */
  readonly mountpoint?: string | null;
}

/** What client.connected tells about the client's session. */
export interface SessionNews {
  /** MQTT's Clean Start: true if the client asked for a new session, null if the event does not say. */
  readonly cleanStart: boolean | null;
  /**
   * How long EMQX keeps the session after the connection (ms). 0: the session ends with the connection. It may be
   * NEVER_EXPIRES. null: the event does not say.
   */
  readonly expiryMs: number | null;
  /**
   * True if the rule tells only about sessions (`offline-messages`, `offline-only`): the event changes neither client
   * state nor subscriptions.
   */
  readonly sessionOnly: boolean;
}

/** A number, because JSON has no Infinity. */
export const NEVER_EXPIRES = Number.MAX_SAFE_INTEGER;

export interface DisconnectedEvent {
  readonly type: 'disconnected';
  readonly clientid: string;
  readonly node: string | null;
  /** null if the event does not say. */
  readonly connectedAt: number | null;
  /** EMQX's disconnected_at. */
  readonly at: number;
}

/**
 * An event of EMQX that the server does not use. It is accepted, because EMQX would log an error for a rejected one.
 */
export interface IgnoredEvent {
  readonly type: 'ignored';
  readonly event: string;
}
