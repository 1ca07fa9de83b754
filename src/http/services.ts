import type { OfflineEvent } from '../events/event';
import type { Metrics } from '../ops/metrics';
import type { Store } from '../stores/store';
import type { components } from './openapi';

/** What the HTTP edge needs from the rest of the server; implemented elsewhere, faked in tests. */
export interface HttpServices {
  readonly ingest: Ingest;
  readonly store: Pick<
    Store,
    'getMessage' | 'listTopics' | 'listMessages' | 'removeMessages' | 'getClientState' | 'listSubscriptions' | 'listPositions' | 'listRetained'
  >;
  readonly clients: ClientDesk;
  readonly deliveries: Deliveries;
  readonly retained: Retained;
  readonly deadLetters: DeadLetters;
  /** Counts may be estimates; must not read the backlog. */
  stats(): Promise<Stats>;
  /** One check per dependency. Never a secret in `detail`: /readyz is open. */
  readiness(): Promise<readonly ReadinessCheck[]>;
  readonly metrics: Metrics;
}

export interface Ingest {
  /**
   * Resolves when the queue has all of them durably (promise 1), in the order given; rejects when it is unknown whether it has.
   * @throws UnavailableError when the queue is away (503), OverloadedError when it is too long (429).
   */
  accept(events: readonly OfflineEvent[]): Promise<void>;
}

export interface Deliveries {
  /** Asks for a delivery to the client of what is stored for the topic filter; resolves when the queue has the request. */
  request(clientid: string, filter: string): Promise<void>;
}

export interface Retained {
  /** Asks for the retained messages that match to be published back where the broker lacks them; resolves when the queue has the request. */
  restore(filter: string): Promise<void>;
}

/** What an operator sees and decides about a client beside what the store has. */
export interface ClientDesk {
  /** The broker makes exactly these subscriptions for the client from now on; resolves when the queue has the request. */
  assign(clientid: string, subscriptions: readonly Wanted[]): Promise<void>;
  /** Ends one of them, or all (null); resolves when the queue has the request. */
  withdraw(clientid: string, filter: string | null): Promise<void>;
  /** null: nothing is on its way to the client. */
  delivery(clientid: string): Promise<DeliveryView | null>;
}

export type DeliveryView = components['schemas']['DeliveryProgress'];
type Wanted = components['schemas']['Subscription'];

export interface DeadLetters {
  record(letter: NewDeadLetter): Promise<void>;
  /** Oldest first; `after` is a `next` of an earlier answer, null starts at the beginning. A page may be shorter than its limit. */
  list(query: DeadLetterQuery): Promise<DeadLetterPage>;
  get(id: string): Promise<DeadLetter | null>;
  /**
   * Puts the event, or the one that an operator gives in its place, back into the queue. @returns false when there is no such letter;
   * throws RefusedError that says why it can't be retried, InvalidEventError for an `edited` one that is no event.
   */
  retry(id: string, edited?: unknown): Promise<boolean>;
  /** Those that can be. @returns how many were put back. */
  retryAll(): Promise<number>;
  /** @returns false when there is no such letter. */
  remove(id: string): Promise<boolean>;
  removeAll(): Promise<number>;
}

export interface NewDeadLetter {
  readonly reason: string;
  /** The event; for a body refused at the door, its text cut to 64 KB (without U+0000). */
  readonly event: unknown;
  /** Where it was refused: `POST /v1/events/message.publish`, a store, ... */
  readonly source?: string;
}

export interface DeadLetter {
  readonly id: string;
  readonly reason: string;
  readonly event: unknown;
  readonly source: string | null;
  /** ms */
  readonly at: number;
}

/** Where a page of dead letters ended. */
export type LetterPosition = Pick<DeadLetter, 'at' | 'id'>;

export interface DeadLetterQuery {
  readonly after: LetterPosition | null;
  readonly limit: number;
}

export interface DeadLetterPage {
  readonly letters: readonly DeadLetter[];
  readonly next: LetterPosition | null;
}

export interface Stats {
  /** Stored messages. */
  readonly messages: number;
  readonly dead_letters: number;
  readonly lanes: readonly LaneStats[];
  /** Per second over the last minute, by name: accepted, stored, delivered, removed. */
  readonly rates: Readonly<Record<string, number>>;
}

export interface LaneStats {
  readonly name: string;
  readonly waiting: number;
  readonly active: number;
  readonly delayed: number;
}

export interface ReadinessCheck {
  /** `store`, `queue`, `emqx`, ... */
  readonly name: string;
  readonly ok: boolean;
  /** One line; names the setting to look at when something is wrong. */
  readonly detail: string;
}
