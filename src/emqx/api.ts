import { RetryableError } from '../base/errors';
import type { QoS } from '../mqtt/message';
import type { Health } from '../base/health';
import type { Inspection } from './inspection';
import type { RetainerApi } from './retainer';

/**
 * What the server uses of the broker's REST API. Each generation of EMQX has one implementation (v5.ts, v4.ts).
 * `publish` and `subscribe` throw RetryableError for temporary trouble after their own retries, AuthError if EMQX
 * rejects the key, and ClosedError after close(), which also ends running calls. If the signal is aborted they throw
 * its reason.
 */
export interface EmqxApi {
  /**
   * Publishes in the given order.
   * @returns one outcome per message, in the same order. It throws only if nothing was published.
   *
   * A request whose answer was lost is not repeated here. EMQX may have published it, and the client may have
   * acknowledged it meanwhile, so the caller must check before it sends the message again (`unknown`).
   */
  publish(messages: readonly Delivery[], signal?: AbortSignal): Promise<PublishOutcome[]>;

  /**
   * Subscribes a connected client from outside. This bypasses EMQX's ACL and fires session.subscribed.
   * @throws RefusedError for a subscription that EMQX will never make, and for a client id that its REST API can't
   * name.
   */
  subscribe(clientid: string, subscriptions: readonly ApiSubscription[], signal?: AbortSignal): Promise<'subscribed' | 'not-connected'>;

  /**
   * What EMQX knows of a client's session, even if the session outlived its connection; null if EMQX knows no session.
   */
  session(clientid: string, signal?: AbortSignal): Promise<SessionView | null>;

  /**
   * The messages that EMQX holds for a client: those that wait in its session, and those that were sent and not
   * acknowledged.
   */
  held(clientid: string, signal?: AbortSignal): Promise<HeldView>;

  /** Absent if the broker's REST API can't tell what it retains. */
  readonly retainer?: RetainerApi;
  /** Absent if the broker's REST API can't tell which rules it has. */
  readonly inspection?: Inspection;
  /**
   * Whether EMQX 6's message queues run. If so, `$queue/{name}` names a queue and is not a shared subscription. Absent
   * if the broker has no queues. The answer may be a minute old.
   */
  messageQueues?(): Promise<boolean>;
  /**
   * Makes any number of subscriptions for one client, in bulks of limited size; otherwise like `subscribe`.
   * Subscriptions that EMQX will never make are listed in `refused`, and all others are made. Making them twice is
   * harmless.
   */
  subscribeAll(clientid: string, subscriptions: readonly ApiSubscription[], signal?: AbortSignal): Promise<SubscribeResult>;

  /**
   * Ends subscriptions of a connected client from outside. Subscriptions that the client does not have are ignored.
   * Fires session.unsubscribed.
   */
  unsubscribeAll(clientid: string, filters: readonly string[], signal?: AbortSignal): Promise<'unsubscribed' | 'not-connected'>;

  /** Never throws; answers within 3 s, without retries. */
  health(): Promise<Health>;

  /** Ends running requests and closes the connections. */
  close(): Promise<void>;
}

/**
 * A message as the REST API can carry it. Properties that it can't carry were turned into user properties before
 * (promise 11).
 */
export interface Delivery {
  readonly topic: string;
  readonly qos: QoS;
  readonly retain: boolean;
  readonly payload: Buffer;
  readonly properties: DeliveryProperties;
  /**
   * The client whose subscription the message is sent for. EMQX 4 is asked whether this client is connected. Absent if
   * it is for no particular client.
   */
  readonly clientid?: string;
}

export interface DeliveryProperties {
  /**
   * Values must be strings. EMQX answers 200 to any other value and then closes the connection of every MQTT 5
   * subscriber.
   */
  readonly userProperties: Readonly<Record<string, string>>;
  readonly contentType?: string;
  readonly responseTopic?: string;
  /** Printable UTF-8 text as it is (not base64). EMQX rejects anything else. */
  readonly correlationData?: string;
  readonly payloadFormatIndicator?: 0 | 1;
  /** The remaining seconds. */
  readonly messageExpiryInterval?: number;
}

export type PublishOutcome =
  /** `id` is EMQX's id of the publish, which its events and lists use; null in EMQX 4, which does not tell it. */
  | { readonly result: 'delivered'; readonly id: string | null }
  /**
   * EMQX 5: nobody is subscribed (reason code 16), and EMQX kept nothing except a retained message. EMQX 4: the client
   * is not connected, and nothing was published.
   */
  | { readonly result: 'no-subscribers' }
  /** EMQX will never accept this message; `reason` is EMQX's text. */
  | { readonly result: 'refused'; readonly reason: string }
  /** The request was sent but no answer came, so EMQX may have published the message. */
  | { readonly result: 'unknown' }
  /** The message was not published, because something went wrong before it. */
  | { readonly result: 'unsent'; readonly error: RetryableError };

/** The answer of GET /clients/{clientid}. Times are EMQX's (ms). */
export interface SessionView {
  readonly connected: boolean;
  readonly connectedAt: number;
  /** When the session began. It equals connectedAt, apart from a few ms, if the connection began the session. */
  readonly createdAt: number;
  /** Whether the session outlives its connection. */
  readonly persistent: boolean;
  /** Whether EMQX keeps the session on disk. EMQX then reports neither deliveries nor acknowledgements. */
  readonly durable: boolean;
  /**
   * How many messages wait, and how many were sent and not acknowledged. In EMQX 6 both numbers may be up to 15 s old.
   */
  readonly queued: number;
  readonly inflight: number;
  /**
   * The prefix that EMQX puts before the client's topics and topic filters, including those that REST subscribes for
   * it. Absent if there is none.
   */
  readonly mountpoint?: string;
}

export type HeldView =
  /** `complete` is false if there are more messages than a session should have (MOST_HELD). */
  | { readonly kind: 'list'; readonly messages: readonly HeldMessage[]; readonly complete: boolean }
  /** EMQX does not know the client. */
  | { readonly kind: 'no-client' }
  /**
   * EMQX can't list the messages: it is older than 5.7, the session is a durable one, or the key has no right to read
   * the lists.
   */
  | { readonly kind: 'unknown' };

/** An entry of mqueue_messages or inflight_messages. */
export interface HeldMessage {
  /** EMQX's id: of the original publish, or the one that POST /publish answered. */
  readonly id: string;
  readonly topic: string;
  /** The publisher's clientid; `http_api` for messages that were published by REST. */
  readonly from: string;
}

export interface ApiSubscription {
  readonly topic: string;
  readonly qos: QoS;
}

export interface SubscribeResult {
  /** False if the client is not connected, or disconnected before all subscriptions were made. */
  readonly connected: boolean;
  readonly refused: readonly { readonly subscription: ApiSubscription; readonly reason: string }[];
}

/**
 * EMQX rejects the server's key. The error is retryable, because an operator (or EMQX) may repair it while the server
 * runs. The message never contains the secret.
 */
export class AuthError extends RetryableError {
  override readonly name: string = 'AuthError';
}

/** A 403: EMQX knows the key, but its role, scopes or namespace don't allow this path. Other paths may be allowed. */
export class ForbiddenError extends AuthError {
  override readonly name: string = 'ForbiddenError';
}

/** A 404 without a known code: EMQX_URL is wrong, or this EMQX does not have the path (EMQX Serverless has few). */
export class NoSuchPathError extends RetryableError {
  override readonly name: string = 'NoSuchPathError';
}
