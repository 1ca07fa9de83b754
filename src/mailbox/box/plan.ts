import { GROUP_LOST_MS, STALLED_FULL_MS, STALLED_MS } from '../times';
import { isGroup, MOST_DOUBLINGS, type Mailbox, type Run } from './mailbox';

/** What a mailbox asks for now. */
export interface Plan {
  /** EMQX is asked what it holds for the client. */
  readonly asks: boolean;
  /** Runs that wait for writes. */
  readonly gates: readonly Run[];
  /** How many of `again` are sent. */
  readonly again: number;
  /** The run that reads and sends; null: none. */
  readonly run: Run | null;
  /** When it has to be looked at again, if nothing happens before (ms, our clock); null: never. */
  readonly wakeAt: number | null;
}

export function planOf(mailbox: Mailbox, now: number): Plan {
  const isHere = mailbox.session?.connected !== false;
  const asks = isHere && !isGroup(mailbox) && (isDue(mailbox.askAt, now) || isDue(stalledAt(mailbox), now));
  const isOpen = isHere && !asks && !isAhead(mailbox.doubtUntil, now) && !isAhead(mailbox.pausedUntil, now);
  const again = isOpen ? Math.min(mailbox.budget, mailbox.again.length) : 0;
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

/** How much of the window is taken: what EMQX has of its own counts. */
export function taken({ out, held }: Mailbox): number {
  return out.size + held.size;
}

/** EMQX's answer about some copies was lost: what is newer must not overtake them (promise 6). A group has no order among its members. */
function isUnsure(mailbox: Mailbox): boolean {
  return !isGroup(mailbox) && [...mailbox.out.values()].some(({ emqxId }) => emqxId === null);
}

/** Half of the window is free: fewer, larger batches than refilling at every acknowledgement. */
function hasRoom(mailbox: Mailbox, { window }: Run): boolean {
  return window === null || taken(mailbox) <= window / 2;
}

/** A client that acknowledges nothing: EMQX is asked what became of its copies, less and less often. */
function stalledAt(mailbox: Mailbox): number | null {
  if (mailbox.doubtUntil !== null || (mailbox.out.size === 0 && !isHeldBack(mailbox))) return null;
  if (isGroup(mailbox) && mailbox.runs.every(({ cursor }) => cursor === null)) return null;
  if (isGroup(mailbox)) return [...mailbox.out.values()].reduce((oldest, { sentAt }) => Math.min(oldest, sentAt), Infinity) + GROUP_LOST_MS;
  const isWaiting = mailbox.runs.some(({ cursor }) => cursor !== null);
  return (
    Math.max(mailbox.movedAt, mailbox.askedAt) + (isWaiting ? STALLED_FULL_MS : STALLED_MS) * 2 ** Math.min(mailbox.asks, MOST_DOUBLINGS)
  );
}

/** Nothing but what EMQX has of its own is in a run's way: its acknowledgements may be told to nobody, and EMQX may have lost it. */
function isHeldBack(mailbox: Mailbox): boolean {
  return mailbox.held.size > 0 && mailbox.runs.some((run) => run.cursor !== null && run.behind === null && !hasRoom(mailbox, run));
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
