import type { components } from '../contract/openapi';
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
    | 'topicCounts'
  >;
  readonly clients: Pick<ClientDesk, 'assign' | 'withdraw' | 'delivery' | 'explanation'>;
  readonly deliveries: Deliveries;
  readonly retained: Retained;
  readonly deadLetters: DeadLetters;
  /** Never rejects because the store or the queue is away: its numbers are null then. */
  stats(): Promise<Stats>;
  setup(wanted: SetupRequest): SetupView;
  /** One check per dependency. Never a secret in `detail`: /readyz is open. */
  readiness(): Promise<readonly ReadinessCheck[]>;
  readonly metrics: Metrics;
}

export interface Deliveries {
  /** Asks for a delivery to the client of what is stored for the topic filter. @returns the request's id, when the queue has the request. */
  request(clientid: string, filter: string): Promise<string>;
  /** null: there is no such request, or its outcome was forgotten. */
  outcome(id: string): Promise<components['schemas']['DeliveryOutcome'] | null>;
}

export interface Retained {
  /** Asks for the retained messages that match to be published back where EMQX lacks them. @returns the request's id, when the queue has the request. */
  restore(filter: string): Promise<string>;
  /** null: there is no such request, or its outcome was forgotten. */
  outcome(id: string): Promise<components['schemas']['RestoreOutcome'] | null>;
  /** Whether a retained message of the topic is kept under the policy of now. */
  isKept(topic: string): boolean;
}

export type Stats = components['schemas']['Stats'];

export interface SetupRequest {
  readonly set: components['schemas']['RuleSet'];
  /** Empty: the default. */
  readonly topics: readonly string[];
  /** null: the generation that EMQX_URL is for. */
  readonly emqx: 4 | 5 | null;
  /** Otherwise `***` stands in its place. */
  readonly showsToken: boolean;
}

export interface SetupView {
  readonly command: string;
  readonly rules: string;
  /** ms */
  readonly lastEventAt: number | null;
  readonly eventsAccepted: number;
  readonly refused: string | null;
}

export interface ReadinessCheck {
  /** `store`, `queue`, `emqx`, ... */
  readonly name: string;
  readonly ok: boolean;
  /** One line; names the setting to look at when something is wrong. */
  readonly detail: string;
}
