import type { Metrics } from '../../base/metrics';
import type { Policy } from '../../config/policies';
import type { EmqxApi } from '../../emqx/api';
import type { Lanes } from '../../lanes/lanes';
import type { Sequence } from '../../lanes/sequence';
import type { SharedState } from '../../lanes/state';
import type { LaneCounts } from '../../lanes/names';
import type { Message } from '../../mqtt/message';
import type { Store } from '../../stores/store';
import type { AcceptedAcks } from '../accepted-acks';
import type { Clients } from '../clients/clients';
import type { EventLag } from '../event-lag';
import type { Signer } from '../signature';

/** What a pass works with. */
export interface PassDeps {
  readonly store: Store;
  /** null if EMQX_API_KEY is not set: then messages are stored and nothing is delivered. */
  readonly emqx: EmqxApi | null;
  readonly state: SharedState;
  readonly sequence: Sequence;
  readonly laneCounts: LaneCounts;
  readonly lanes: Pick<Lanes, 'mail' | 'wake'>;
  readonly clients: Pick<Clients, 'apply'>;
  readonly policies: readonly Policy[];
  readonly signer: Signer;
  readonly acks: Pick<AcceptedAcks, 'known' | 'settled'>;
  /** How late events are at the moment; absent: they are not late. */
  readonly lag?: Pick<EventLag, 'current'>;
  readonly metrics: Metrics;
  /** Sets aside a message that EMQX will never accept. */
  readonly setAside: (message: Message, reason: string) => Promise<void>;
  readonly now: () => number;
}

/** The same, when there is an EMQX to deliver with. */
export type SenderDeps = PassDeps & { readonly emqx: EmqxApi };
