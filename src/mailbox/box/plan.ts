import { GROUP_LOST_MS, STALLED_FULL_MS, STALLED_MS } from '../times';
import { isGroup, MOST_DOUBLINGS, type Mailbox, type Run } from './mailbox';

/** What a mailbox asks for now. */
export interface Plan {
  /** Whether EMQX is asked what it holds for the client. */
  readonly asks: boolean;
  /** Runs that wait for writes and check the lanes now. */
  readonly gates: readonly Run[];
  /** How many entries of `again` are sent. */
  readonly again: number;
  /** The run that reads and sends; null if none does. */
  readonly run: Run | null;
  /** When the mailbox must be looked at again if nothing happens before (ms, the server's clock); null: never. */
  readonly wakeAt: number | null;
}

export function planOf(mailbox: Mailbox, now: number): Plan {
  const isHere = mailbox.session?.connected !== false;
  const asks = isHere && !isGroup(mailbox) && (isDue(mailbox.askAt, now) || isDue(stalledAt(mailbox), now));
  const isOpen = isHere && !asks && !isAhead(mailbox.doubtUntil, now) && !isAhead(mailbox.pausedUntil, now);
  const again = isOpen && !isGathering(mailbox) ? Math.min(mailbox.budget, mailbox.again.length) : 0;
  const mayRead = isOpen && mailbox.again.length === 0 && !isUnsure(mailbox);
  const run =
    (mayRead ? mailbox.runs.find((each) => each.cursor !== null && each.behind === null && hasRoom(mailbox, each)) : null) ?? null;
  return {
    asks,
    gates: isHere
      ? mailbox.runs.filter(({ behind, cursor }) => cursor !== null && (behind === 'note' || (behind !== null && behind.at <= now)))
      : [],
    again,
    run,
    wakeAt: again > 0 || run !== null ? now : wakeAt(mailbox, now, isHere),
  };
}

/** How many places of the window are taken. EMQX's own messages count, because they fill the same session. */
export function taken({ out, held }: Mailbox): number {
  return out.size + held.size;
}

/**
 * Whether EMQX's answer about some copies was lost: newer messages must not overtake these (promise 6). The members of
 * a group have no common order.
 */
function isUnsure(mailbox: Mailbox): boolean {
  return !isGroup(mailbox) && [...mailbox.out.values()].some(({ emqxId }) => emqxId === null);
}

/**
 * Whether a group still waits for acknowledgements of its members that were accepted and are in their lanes. Nobody else
 * knows whose acknowledgements count for the group (sender.ts), so its lost copies are not sent again before that.
 */
function isGathering(mailbox: Mailbox): boolean {
  return isGroup(mailbox) && mailbox.runs.some(({ behind, cursor }) => behind !== null && cursor !== null);
}

/**
 * Whether half of the window is free. Waiting for half gives fewer and larger batches than refilling at every
 * acknowledgement.
 */
function hasRoom(mailbox: Mailbox, { window }: Run): boolean {
  return window === null || taken(mailbox) <= window / 2;
}

/**
 * When EMQX is asked about the copies of a client that acknowledges nothing; null: not at all. Each pause is twice as
 * long as the one before.
 */
function stalledAt(mailbox: Mailbox): number | null {
  if (mailbox.doubtUntil !== null || (mailbox.out.size === 0 && !isHeldBack(mailbox))) return null;
  if (isGroup(mailbox) && mailbox.runs.every(({ cursor }) => cursor === null)) return null;
  if (isGroup(mailbox)) return [...mailbox.out.values()].reduce((oldest, { sentAt }) => Math.min(oldest, sentAt), Infinity) + GROUP_LOST_MS;
  const isWaiting = mailbox.runs.some(({ cursor }) => cursor !== null);
  return (
    Math.max(mailbox.movedAt, mailbox.askedAt) + (isWaiting ? STALLED_FULL_MS : STALLED_MS) * 2 ** Math.min(mailbox.asks, MOST_DOUBLINGS)
  );
}

/**
 * Whether only EMQX's own messages keep a run waiting, or would do so as soon as it knows its window. EMQX may have lost
 * them, and the server may receive no event of their acknowledgement.
 */
function isHeldBack(mailbox: Mailbox): boolean {
  const isWaiting = (run: Run): boolean => run.cursor !== null && (run.window === null || !hasRoom(mailbox, run));
  return mailbox.held.size > 0 && mailbox.runs.some(isWaiting);
}

function wakeAt(mailbox: Mailbox, now: number, isHere: boolean): number | null {
  if (!isHere) return null;
  const { askAt, doubtUntil, pausedUntil, retryAt, runs } = mailbox;
  const gates = runs.flatMap(({ behind, cursor }) => (behind === null || cursor === null ? [] : [behind === 'note' ? now : behind.at]));
  const times = [askAt, doubtUntil, pausedUntil, retryAt, stalledAt(mailbox), ...runs.map(({ lookAt }) => lookAt), ...gates];
  return times.reduce<number | null>((first, at) => (at !== null && (first === null || at < first) ? at : first), null);
}

const isDue = (at: number | null, now: number): boolean => at !== null && at <= now;
const isAhead = (at: number | null, now: number): boolean => at !== null && at > now;
