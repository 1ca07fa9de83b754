import type { DeadLetters } from '../dead-letters/letters';
import type { Ingest } from '../door/ingest';
import type { ClientDesk } from '../mailbox/clients/client-desk';
import type { Metrics } from '../base/metrics';
import type { Store } from '../stores/store';

/** What the HTTP edge needs from the rest of the server; implemented elsewhere, faked in tests. */
export interface HttpServices {
  readonly ingest: Pick<Ingest, 'accept'>;
  readonly store: Pick<
    Store,
    | 'getMessage'
    | 'listTopics'
    | 'listMessages'
    | 'removeMessages'
    | 'getClientState'
    | 'listSubscriptions'
    | 'listPositions'
    | 'listRetained'
  >;
  readonly clients: Pick<ClientDesk, 'assign' | 'withdraw' | 'delivery'>;
  readonly deliveries: Deliveries;
  readonly retained: Retained;
  readonly deadLetters: DeadLetters;
  /** Counts may be estimates; must not read the backlog. */
  stats(): Promise<Stats>;
  /** One check per dependency. Never a secret in `detail`: /readyz is open. */
  readiness(): Promise<readonly ReadinessCheck[]>;
  readonly metrics: Metrics;
}

export interface Deliveries {
  /** Asks for a delivery to the client of what is stored for the topic filter; resolves when the queue has the request. */
  request(clientid: string, filter: string): Promise<void>;
}

export interface Retained {
  /** Asks for the retained messages that match to be published back where the broker lacks them; resolves when the queue has the request. */
  restore(filter: string): Promise<void>;
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
