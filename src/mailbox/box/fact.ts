import type { DeliveryRequest } from '../../lanes/jobs';
import type { Tails } from '../../lanes/sequence';
import type { HeldView, SessionView } from '../../emqx/api';
import type { Copy, Cursor, Mailbox } from './mailbox';

/** Names a run of a mailbox. */
export interface RunRef {
  readonly clientid: string;
  readonly filter: string;
}

/** What a mailbox learns. Times of EMQX where the events have them, otherwise ours; ms. */
export type Fact =
  | { readonly kind: 'connected'; readonly at: number; readonly cleanStart: boolean | null; readonly expiryMs: number | null }
  /** `connectedAt`: of the connection that is over; null: the event does not say. */
  | { readonly kind: 'disconnected'; readonly at: number; readonly connectedAt: number | null }
  | { readonly kind: 'subscribed'; readonly request: DeliveryRequest }
  | ({ readonly kind: 'unsubscribed'; readonly at: number } & RunRef)
  /** `isCopy`: of a copy that was sent from this mailbox; otherwise the client has the message in some other way. */
  | { readonly kind: 'acked'; readonly id: string; readonly isCopy: boolean }
  /** `copyId`: EMQX's id of the copy that it dropped; null or absent: unknown. */
  | { readonly kind: 'dropped'; readonly id: string; readonly reason: string; readonly copyId?: string | null }
  /** What EMQX answered. `held` null: it was not asked for. */
  | { readonly kind: 'asked'; readonly session: SessionView | null; readonly held: HeldView | null }
  /** Time has passed. `lagMs`: how much longer than usual events take from EMQX to here at the moment; absent: no longer. */
  | { readonly kind: 'due'; readonly lagMs?: number }
  /** The run's writes: null: all that it waits for are done. */
  | ({ readonly kind: 'gated'; readonly tails: Tails | null } & RunRef)
  | Sent
  /** Of `again`: sent once more, or not needed any more. */
  | { readonly kind: 'resent'; readonly copies: readonly [string, Copy][]; readonly done: readonly string[]; readonly stopped: boolean }
  /** The process may have sent before, without noting it: whatever is sent now must be behind the writes of now. */
  | { readonly kind: 'repeated' };

/** A run has read and sent. */
export interface Sent extends RunRef {
  readonly kind: 'sent';
  readonly copies: readonly [string, Copy][];
  /** Where it goes on; null: it has read all. */
  readonly cursor: Cursor | null;
  readonly window: number | null;
  /** Copies that nobody will acknowledge. */
  readonly unclocked: number;
  /** It goes on not before (ms, our clock). */
  readonly pauseUntil: number | null;
  readonly isBlocked: boolean;
  /** Nobody is there: the run is over, what is left stays stored. */
  readonly isOver: boolean;
  readonly hasInbox: boolean;
}

/** What became of the mailbox, and the ids of messages that it does not count on any more: somebody may be sent them at once. */
export interface Stepped {
  readonly mailbox: Mailbox;
  readonly freed: readonly string[];
}

/** Whether both name the same run. */
export function isRun(run: RunRef, { clientid, filter }: RunRef): boolean {
  return run.clientid === clientid && run.filter === filter;
}

export const kept = (mailbox: Mailbox): Stepped => ({ mailbox, freed: [] });

export type Of<Kind extends Fact['kind']> = Extract<Fact, { kind: Kind }>;
