import type { DeliveryLeases } from './delivery-leases';
import type { Window } from './window';
import type { Policy } from '../../config/policies';
import type { EmqxApi } from '../../emqx/api';
import type { Metrics } from '../../base/metrics';
import type { Lanes } from '../../lanes/lanes';
import type { SharedState } from '../../lanes/state';
import type { Store } from '../../stores/store';
import type { AcceptedAcks } from '../accepted-acks';
import type { Message } from '../../mqtt/message';
import type { Signer } from '../signature';

/** What delivery works with. */
export interface DelivererDeps {
  readonly store: Store;
  readonly emqx: EmqxApi;
  readonly state: SharedState;
  readonly lanes: Pick<Lanes, 'recheck' | 'recheckLater' | 'resumeLater' | 'turn' | 'forget' | 'dropped' | 'progress'>;
  readonly policies: readonly Policy[];
  readonly signer: Signer;
  readonly acks: Pick<AcceptedAcks, 'known'>;
  readonly metrics: Metrics;
  /** A message that EMQX will never take. */
  readonly setAside: (message: Message, reason: string) => Promise<void>;
  readonly now: () => number;
}

/** Whom a window belongs to, and how its changes are kept. */
export interface Recipient {
  readonly consumer: string;
  /** The consumer's name in the shared state. */
  readonly owner: string;
  readonly leases: DeliveryLeases;
  readonly save: (window: Window) => Promise<void>;
}
