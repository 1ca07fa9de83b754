import type { Policy } from '../../config/policies';
import type { Message } from '../../mqtt/message';
import type { Copy, Run } from '../box/mailbox';
import type { Seat } from './seat';

/** Messages of one topic that a run wants to send. */
export interface Parcel {
  readonly seat: Seat;
  readonly run: Run;
  readonly policy: Policy;
  readonly messages: readonly Message[];
  /** True if the messages were stored behind the run's cursor. */
  readonly isLate?: boolean;
  readonly readAt: number;
}

/** What became of the messages of a parcel. */
export interface Delivered {
  /** Copies that EMQX has or may have, and that will be acknowledged. */
  readonly copies: readonly [string, Copy][];
  /**
   * Messages that EMQX has accepted and whose acknowledgement nobody waits for (QoS 0, or policy `settle: delivered`).
   */
  readonly unclocked: readonly Message[];
  /** True if another consumer is being sent some of the messages. */
  readonly isBlocked: boolean;
  /** True if no subscriber is there. */
  readonly isOver: boolean;
  /** True if a previous process may have sent some of the messages. The run waits until that is known. */
  readonly isStopped: boolean;
  readonly hasInbox: boolean;
}

/** What is to be published of a parcel. */
export interface Load {
  readonly parcel: Parcel;
  due: Message[];
  /** `unused`: claimed, but not to be sent now. `unsent`: not to be sent now, whether claimed or not. */
  readonly unused: readonly string[];
  readonly unsent: readonly string[];
  readonly isBlocked: boolean;
  readonly isStopped: boolean;
  readonly once: ReadonlySet<string>;
  hasInbox: boolean;
  isOver: boolean;
}

/**
 * How the server learns that the client has the message: by its acknowledgement, or where none will come, as the policy
 * says for QoS 0.
 */
export function fateOf({ qos }: Message, { seat, run, policy }: Pick<Parcel, 'seat' | 'run' | 'policy'>): 'acknowledged' | Policy['qos0'] {
  if (Math.min(qos, run.qos) === 0) return policy.qos0;
  // EMQX keeps messages of a durable session on disk, and never reports their acknowledgements.
  return policy.settle === 'delivered' || seat.mailbox.session?.isDurable === true ? 'settle' : 'acknowledged';
}

export function isAcked(message: Message, parcel: Pick<Parcel, 'seat' | 'run' | 'policy'>): boolean {
  return fateOf(message, parcel) === 'acknowledged';
}

/** Notes an error in the seat, so that it affects this mailbox only. */
export async function guarded({ seat }: Parcel, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    seat.error = error;
  }
}
