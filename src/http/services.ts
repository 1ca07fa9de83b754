import type { components } from '../contract/openapi';
import type { DeadLetters } from '../dead-letters/letters';
import type { Ingest } from '../door/ingest';
import type { ClientDesk } from '../mailbox/clients/client-desk';
import type { Metrics } from '../base/metrics';
import type { Store } from '../stores/store';

/** What the HTTP API needs from the rest of the server. Tests replace it by fakes. */
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
  /** Does not reject if the store or the queue is away. Their numbers are null then. */
  stats(): Promise<Stats>;
  setup(request: SetupRequest): SetupView;
  /** One check for each dependency. `detail` has no secret, because /readyz needs no token. */
  readiness(): Promise<readonly ReadinessCheck[]>;
  readonly metrics: Metrics;
}

export interface Deliveries {
  /**
   * Requests the delivery of the stored messages of a topic filter. Resolves with the id of the request when the queue
   * has it.
   */
  request(clientid: string, filter: string): Promise<string>;
  /** null if no such request was made within the last hour. */
  outcome(id: string): Promise<components['schemas']['DeliveryOutcome'] | null>;
}

export interface Retained {
  /**
   * Requests that retained messages are published again where EMQX lacks them. Resolves with the id of the request when
   * the queue has it.
   */
  restore(filter: string): Promise<string>;
  /** null if no such request was made within the last hour. */
  outcome(id: string): Promise<components['schemas']['RestoreOutcome'] | null>;
  /** Whether the current policy keeps the retained message of the topic. */
  isKept(topic: string): boolean;
}

export type Stats = components['schemas']['Stats'];

export interface SetupRequest {
  readonly set: components['schemas']['RuleSet'];
  /** The topic filters of the rule. If empty, those of the policies are used. */
  readonly topics: readonly string[];
  /** The generation of EMQX; null for that of EMQX_URL. */
  readonly emqx: 4 | 5 | null;
  /** Whether the answer shows INGEST_TOKEN. If not, it shows `***`. */
  readonly showsToken: boolean;
}

export interface SetupView {
  readonly command: string;
  readonly rules: string;
  /** When the newest event was accepted (ms); null if there was none since the start. */
  readonly lastEventAt: number | null;
  readonly eventsAccepted: number;
  /** A text about events that were rejected because of their token; null if there were none lately. */
  readonly refused: string | null;
}

export interface ReadinessCheck {
  /** `store`, `queue`, `emqx`, ... */
  readonly name: string;
  readonly ok: boolean;
  /** One line. If the check failed, it names the setting to look at. */
  readonly detail: string;
}
