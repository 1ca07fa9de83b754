import type { DeliveryRequest } from '../../lanes/jobs';
import type { Tails } from '../../lanes/sequence';
import type { HeldView, SessionView } from '../../emqx/api';
import type { Copy, Cursor, Mailbox, Run } from './mailbox';

/** Names a run of a mailbox. */
export interface RunRef {
  readonly clientid: string;
  readonly filter: string;
}

/**
 * Names a run as it was when a pass worked for it. A process that stood still may save what it did only after the
 * client has subscribed again: its work must not move the newer run.
 */
export interface RunThen extends RunRef {
  readonly requestedAt: number;
  readonly looks: number;
}

/** A fact that a mailbox learns. Times are EMQX's where the event has one, otherwise the server's (ms). */
export type Fact =
  | { readonly kind: 'connected'; readonly at: number; readonly cleanStart: boolean | null; readonly expiryMs: number | null }
  /** `connectedAt` tells which connection ended; null if the event does not say. */
  | { readonly kind: 'disconnected'; readonly at: number; readonly connectedAt: number | null }
  | { readonly kind: 'subscribed'; readonly request: DeliveryRequest }
  | ({ readonly kind: 'unsubscribed'; readonly at: number } & RunRef)
  /**
   * `isCopy` is true if the client acknowledged a copy that was sent from this mailbox, and false if it got the message
   * in another way.
   */
  | { readonly kind: 'acked'; readonly id: string; readonly isCopy: boolean }
  /** `copyId` is EMQX's id of the copy that it dropped; null or absent if unknown. */
  | { readonly kind: 'dropped'; readonly id: string; readonly reason: string; readonly copyId?: string | null }
  /** EMQX's answer to a question of the time `at` (the server's clock). `held` is null if EMQX was not asked for it. */
  | { readonly kind: 'asked'; readonly at: number; readonly session: SessionView | null; readonly held: HeldView | null }
  /**
   * Time has passed. `lagMs` is how much longer than usual events take from EMQX to the server at the moment; absent
   * means no longer.
   */
  | { readonly kind: 'due'; readonly lagMs?: number }
  /** The run has checked the lanes. `tails` are the positions it still waits for; null if all its writes are done. */
  | ({ readonly kind: 'gated'; readonly tails: Tails | null } & RunThen)
  | Sent
  /**
   * Entries of `again` were worked on: `copies` were sent once more, `done` are not needed any more. `stopped` is true
   * if a previous process may have sent one of them.
   */
  | { readonly kind: 'resent'; readonly copies: readonly [string, Copy][]; readonly done: readonly string[]; readonly stopped: boolean }
  /**
   * A previous process may have sent messages without saving that. Each run now waits for the writes that are accepted
   * by now, because acknowledgements of these messages may be among them.
   */
  | { readonly kind: 'repeated' };

/** A run has read a page and sent it. */
export interface Sent extends RunThen {
  readonly kind: 'sent';
  /** Where the run was when it read the page. */
  readonly from: Cursor | null;
  readonly copies: readonly [string, Copy][];
  /** Where the run continues; null if it has read everything. */
  readonly cursor: Cursor | null;
  readonly window: number | null;
  /** Ids of the messages if they were stored behind the run's cursor. */
  readonly late?: readonly string[];
  /** How many messages were sent whose acknowledgement nobody waits for. */
  readonly unclocked: number;
  /** The run does not continue before this time (ms, the server's clock). */
  readonly pauseUntil: number | null;
  readonly isBlocked: boolean;
  /** No subscriber is there: the run ends, and the remaining messages stay stored. */
  readonly isOver: boolean;
  readonly hasInbox: boolean;
}

/** The next mailbox, and the ids of messages that it gave up: these may be sent to any consumer at once. */
export interface Stepped {
  readonly mailbox: Mailbox;
  readonly freed: readonly string[];
}

/** Whether both name the same run. */
export function isRun(run: RunRef, { clientid, filter }: RunRef): boolean {
  return run.clientid === clientid && run.filter === filter;
}

/** Whether the run is still the one that a pass worked for. */
export function isStill(run: Run, then: RunThen): boolean {
  return isRun(run, then) && run.requestedAt === then.requestedAt && run.looks === then.looks;
}

export function runThen({ clientid, filter, requestedAt, looks }: RunThen): RunThen {
  return { clientid, filter, requestedAt, looks };
}

export const kept = (mailbox: Mailbox): Stepped => ({ mailbox, freed: [] });

export type Of<Kind extends Fact['kind']> = Extract<Fact, { kind: Kind }>;
