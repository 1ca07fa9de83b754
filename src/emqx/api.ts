import { RetryableError } from '../base/errors';
import type { QoS } from '../mqtt/message';
import type { Health } from '../base/health';
import type { Inspection } from './inspection';
import type { RetainerApi } from './retainer';

/**
 * What we ask of the broker's REST API; one implementation per EMQX generation (v5.ts, v4.ts). `publish` and `subscribe` throw
 * RetryableError for a transient trouble once their own retries are used up, AuthError when the key is refused, and
 * ClosedError after close(), which ends calls under way too; with an aborted signal they throw its reason.
 */
export interface EmqxApi {
  /**
   * Publishes in the order given. @returns one outcome per message, in the same order.
   *
   * It throws only when nothing was published. An answer that was lost is never asked for again in here: what was published may be acknowledged by then,
   * and the caller must look before it sends it again (`unknown`).
   */
  publish(messages: readonly Delivery[], signal?: AbortSignal): Promise<PublishOutcome[]>;

  /**
   * Subscribes a connected client from outside. It bypasses EMQX's ACL and fires session.subscribed. Throws RefusedError for a
   * subscription that EMQX will never make, and for a client id that its REST API can't name.
   */
  subscribe(clientid: string, subscriptions: readonly ApiSubscription[], signal?: AbortSignal): Promise<'subscribed' | 'not-connected'>;

  /** What EMQX knows of a client's session, also of one that outlived its connection; null: it knows none. */
  session(clientid: string, signal?: AbortSignal): Promise<SessionView | null>;

  /** What EMQX holds for a client: what waits in its session, and what was sent and is not acknowledged. */
  held(clientid: string, signal?: AbortSignal): Promise<HeldView>;

  /** Absent: this broker's REST API can't tell what it retains. */
  readonly retainer?: RetainerApi;
  /** Absent: this broker's REST API can't tell which rules there are. */
  readonly inspection?: Inspection;
  /**
   * Whether EMQX 6's message queues run: `$queue/{name}` is then the name of a queue, and no shared subscription. Absent: this broker has none. May be a
   * minute old.
   */
  messageQueues?(signal?: AbortSignal): Promise<boolean>;
  /**
   * Any number of subscriptions for one client, in bulks of a bounded size; otherwise as `subscribe`. What EMQX will never make is named
   * in `refused`, and the others are made. Harmless when done twice.
   */
  subscribeAll(clientid: string, subscriptions: readonly ApiSubscription[], signal?: AbortSignal): Promise<SubscribeResult>;

  /** Ends subscriptions of a connected client from outside; those it doesn't have don't matter. Fires session.unsubscribed. */
  unsubscribeAll(clientid: string, filters: readonly string[], signal?: AbortSignal): Promise<'unsubscribed' | 'not-connected'>;

  /** Never throws; answers within 3 s, without retries. */
  health(): Promise<Health>;

  /** Gives up the requests under way and closes the connections. */
  close(): Promise<void>;
}

/** A message as a REST API can carry it; what it cannot (promise 11) has been turned into user properties before. */
export interface Delivery {
  readonly topic: string;
  readonly qos: QoS;
  readonly retain: boolean;
  readonly payload: Buffer;
  readonly properties: DeliveryProperties;
  /** For whose subscription it is sent: EMQX 4 is asked whether this client is there. Absent: for nobody in particular. */
  readonly clientid?: string;
}

export interface DeliveryProperties {
  /** Strings only: any other value is answered 200 and crashes the connection of every MQTT 5 subscriber (facts: DANGER). */
  readonly userProperties: Readonly<Record<string, string>>;
  readonly contentType?: string;
  readonly responseTopic?: string;
  /** Printable UTF-8 text only, as itself (not base64): EMQX refuses anything else. */
  readonly correlationData?: string;
  readonly payloadFormatIndicator?: 0 | 1;
  /** Seconds that remain. */
  readonly messageExpiryInterval?: number;
}

export type PublishOutcome =
  /** `id`: EMQX's own of what it published, as its events and its lists name it; null: EMQX 4 does not tell it. */
  | { readonly result: 'delivered'; readonly id: string | null }
  /** EMQX 5's reason 16: nobody is subscribed; EMQX kept nothing (but a retained message). EMQX 4: the client is not there, and nothing was published. */
  | { readonly result: 'no-subscribers' }
  /** EMQX will never take this message; `reason` is what it said. */
  | { readonly result: 'refused'; readonly reason: string }
  /** The request went out and no answer came: EMQX may have published it. */
  | { readonly result: 'unknown' }
  /** It was not published, since something went wrong before. */
  | { readonly result: 'unsent'; readonly error: RetryableError };

/** GET /clients/{clientid}. Times are EMQX's, in ms. */
export interface SessionView {
  readonly connected: boolean;
  readonly connectedAt: number;
  /** Of the session; equal to connectedAt, give or take some ms, when the connection began it. */
  readonly createdAt: number;
  /** It outlives its connection. */
  readonly persistent: boolean;
  /** EMQX keeps it on disk, and never tells of what it delivers and what is acknowledged. */
  readonly durable: boolean;
  /** How many messages wait, and how many are sent and not acknowledged. EMQX 6: both may be up to 15 s old. */
  readonly queued: number;
  readonly inflight: number;
  /** What EMQX puts before the client's topics and topic filters, those that REST subscribes for it included; absent: nothing. */
  readonly mountpoint?: string;
}

export type HeldView =
  /** `complete` false: there are more than a session should have (MOST_HELD). */
  | { readonly kind: 'list'; readonly messages: readonly HeldMessage[]; readonly complete: boolean }
  /** EMQX knows no such client. */
  | { readonly kind: 'no-client' }
  /** This EMQX can't list it: older than 5.7, a durable session, or a key without the right. */
  | { readonly kind: 'unknown' };

/** Of mqueue_messages or inflight_messages. */
export interface HeldMessage {
  /** EMQX's: of the publish that it copies, or that POST /publish answered. */
  readonly id: string;
  readonly topic: string;
  /** The publisher's clientid; `http_api` of what REST published. */
  readonly from: string;
}

export interface ApiSubscription {
  readonly topic: string;
  readonly qos: QoS;
}

export interface SubscribeResult {
  /** false: the client is not there, or has gone before all were made. */
  readonly connected: boolean;
  readonly refused: readonly { readonly subscription: ApiSubscription; readonly reason: string }[];
}

/** EMQX refuses our key. Retryable, since an operator repairs it (or EMQX restores it) without us; the message never holds the secret. */
export class AuthError extends RetryableError {
  override readonly name: string = 'AuthError';
}

/** A 403: EMQX knows the key, and its role, scopes or namespace do not allow this one path. Others may be allowed. */
export class ForbiddenError extends AuthError {
  override readonly name: string = 'ForbiddenError';
}

/** A 404 without a code that we know: EMQX_URL is wrong, or this EMQX does not have the path (EMQX Serverless has few). */
export class NoSuchPathError extends RetryableError {
  override readonly name: string = 'NoSuchPathError';
}
