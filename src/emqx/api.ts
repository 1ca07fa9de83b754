import { RetryableError } from '../base/errors';
import type { QoS } from '../mqtt/message';
import type { Health } from '../base/health';
import type { Inspection } from './inspection';
import type { RetainerApi } from './retainer';

/**
 * What we ask of the broker's REST API; one implementation per EMQX generation (v5.ts). `publish` and `subscribe` throw
 * RetryableError for a transient trouble once their own retries are used up, AuthError when the key is refused, and
 * ClosedError after close(), which ends calls under way too; with an aborted signal they throw its reason.
 */
export interface EmqxApi {
  /**
   * Publishes in the order given. @returns one outcome per message, in the same order.
   *
   * When this throws, any of the messages may have been published: the connection broke, or the answer was late. That is never tried again
   * in here: what was published may be acknowledged by then, and the caller must look before it sends it again.
   */
  publish(messages: readonly Delivery[], signal?: AbortSignal): Promise<PublishOutcome[]>;

  /**
   * Subscribes a connected client from outside. It bypasses EMQX's ACL and fires session.subscribed. Throws RefusedError for a
   * subscription that EMQX will never make, and for a client id that its REST API can't name.
   */
  subscribe(
    clientid: string,
    subscriptions: readonly ApiSubscription[],
    signal?: AbortSignal,
  ): Promise<'subscribed' | 'not-connected'>;

  /** Absent: this broker's REST API can't tell what it retains. */
  readonly retainer?: RetainerApi;
  /** Absent: this broker's REST API can't tell which rules there are. */
  readonly inspection?: Inspection;
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
  | { readonly result: 'delivered' }
  /** EMQX's reason 16: nobody is subscribed; EMQX kept nothing (but a retained message). */
  | { readonly result: 'no-subscribers' }
  /** EMQX will never take this message; `reason` is what it said. */
  | { readonly result: 'refused'; readonly reason: string };

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
