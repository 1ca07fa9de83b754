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
  readonly readAt: number;
}

/** What became of a parcel. */
export interface Delivered {
  /** Now unacknowledged in EMQX, or perhaps. */
  readonly copies: readonly [string, Copy][];
  /** EMQX has them, and no acknowledgement is waited for (QoS 0, or settle: delivered). */
  readonly unclocked: readonly Message[];
  /** Somebody else is being sent some of them. */
  readonly isBlocked: boolean;
  /** Nobody is there. */
  readonly isOver: boolean;
  /** The process that had the mailbox before may have sent some of them: the run waits until that is known. */
  readonly isStopped: boolean;
  readonly hasInbox: boolean;
}

/** Of a parcel, what is to be published. */
export interface Load {
  readonly parcel: Parcel;
  due: Message[];
  /** Claimed, and not to be sent now. */
  readonly unused: readonly string[];
  readonly unsent: readonly string[];
  readonly isBlocked: boolean;
  readonly isStopped: boolean;
  readonly once: ReadonlySet<string>;
  hasInbox: boolean;
  isOver: boolean;
}

/** What tells that the client has the message: its acknowledgement, or where there will be none, what the policy says of QoS 0. */
export function fateOf({ qos }: Message, { seat, run, policy }: Pick<Parcel, 'seat' | 'run' | 'policy'>): 'acknowledged' | Policy['qos0'] {
  if (Math.min(qos, run.qos) === 0) return policy.qos0;
  // Of a durable session EMQX has it on disk for the client, and never tells of the acknowledgement.
  return policy.settle === 'delivered' || seat.mailbox.session?.isDurable === true ? 'settle' : 'acknowledged';
}

export function isAcked(message: Message, parcel: Pick<Parcel, 'seat' | 'run' | 'policy'>): boolean {
  return fateOf(message, parcel) === 'acknowledged';
}

/** What fails for one mailbox fails for it alone. */
export async function guarded({ seat }: Parcel, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    seat.error = error;
  }
}
