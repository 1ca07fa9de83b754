import { matches, splitShare } from '../../mqtt/topic';
import { GRACE_MS } from '../times';
import { isRun, type Fact, type Stepped } from './fact';
import { hasLeft, isGroup, MOST_DOUBLINGS, START, UNTOLD, type Again, type Copy, type Mailbox, type Run } from './mailbox';

/**
 * Reasons for which EMQX would drop the same copy again: it has expired, or this client can't receive it. Other clients
 * may receive the message.
 */
const FOR_GOOD = new Set(['expired', 'too_large', 'no_local']);
/**
 * After this many tries without an acknowledgement, nothing is sent until the client subscribes again. The pauses of
 * 10, 20, 40, 80 and 160 s add up to about five minutes.
 */
const MOST_ROUNDS = 5;
/**
 * How many copies that EMQX lost without a delivery.dropped event may be sent again at once. EMQX's queue has room for
 * them, because EMQX is known not to have them.
 */
const LOST_AT_ONCE = 50;

/**
 * EMQX has dropped the copy, so its place in the window is free. The message is sent again as the client acknowledges
 * others, because a full queue would drop it at once (promise 10).
 */
export function dropped(mailbox: Mailbox, { id, reason, copyId }: Extract<Fact, { kind: 'dropped' }>, now: number): Stepped {
  const copy = mailbox.out.get(id);
  // Only a copy that is out counts. EMQX's event may come twice, after another copy was sent, or after one was
  // acknowledged.
  if (copy === undefined || isAnother(copy, copyId)) return { mailbox, freed: [] };
  const out = new Map(mailbox.out);
  out.delete(id);
  const isForRun = mailbox.runs.some((run) => isAtStart(run) && readsOfLast(mailbox, run, copy));
  const again = FOR_GOOD.has(reason) || isForRun ? mailbox.again : withAgain(mailbox, [[id, copy]]);
  return { mailbox: nextTry({ ...mailbox, out, again }, now), freed: [id] };
}

/** Whether the event is about another copy of the same message. */
function isAnother({ emqxId }: Copy, copyId: string | null | undefined): boolean {
  return copyId !== null && copyId !== undefined && emqxId !== null && emqxId !== UNTOLD && copyId !== emqxId;
}

/**
 * If no copy is out, no acknowledgement will cause the next try. One message is then tried after a pause, which doubles
 * each time. After MOST_ROUNDS tries the mailbox gives up.
 */
function nextTry(mailbox: Mailbox, now: number): Mailbox {
  const { out, again, runs, rounds, retryAt } = mailbox;
  if (out.size > 0 || again.length === 0 || retryAt !== null) return mailbox;
  if (rounds >= MOST_ROUNDS) return { ...mailbox, again: [], budget: 0, rounds: 0, runs: [] };
  return { ...mailbox, runs, rounds: rounds + 1, budget: 0, retryAt: now + GRACE_MS * 2 ** rounds };
}

/** Copies that EMQX did not have and that were not acknowledged meanwhile are lost, and are sent again (promise 23). */
export function lost(mailbox: Mailbox, now: number): Stepped {
  const gone = [...mailbox.out].filter(([, { isMissing }]) => isMissing);
  if (gone.length === 0) return { mailbox, freed: [] };
  const out = new Map([...mailbox.out].filter(([, { isMissing }]) => !isMissing));
  // The run of any member reads for its group.
  const isReader = (run: Run, copy: Copy): boolean =>
    isGroup(mailbox) ? run.filter === copy.filter : isRun(run, copy) || readsOfLast(mailbox, run, copy);
  const isReread = (copy: Copy): boolean => mailbox.runs.some((run) => isReader(run, copy) && isAtStart(run));
  const again = withAgain(
    mailbox,
    gone.filter(([, copy]) => !isReread(copy)),
  );
  const copies = gone.map(([, copy]) => copy);
  // Acknowledgements that were accepted meanwhile must be in the store before the run reads these messages again, and in
  // a group also before entries of `again` are sent (plan.ts).
  // The copies may be lost with their connection, and the inbox subscription with them, so the inbox is subscribed
  // again.
  const waits = { behind: 'note', gathers: isGroup(mailbox) ? 1 : 0 } as const;
  const runs = mailbox.runs.map((run): Run => {
    if (isAtStart(run)) return { ...withoutCounted(run, copies), ...waits, hasInbox: false };
    return isGroup(mailbox) ? { ...run, ...waits } : run;
  });
  const budget = again.length === 0 ? 0 : Math.max(mailbox.budget, LOST_AT_ONCE);
  return { mailbox: { ...mailbox, out, again, runs, budget, retryAt: null, movedAt: now }, freed: gone.map(([id]) => id) };
}

/**
 * Whether the copy was sent for a subscription of the client's last session, and the run reads its message. Every run of
 * the new session is younger than the message. Example: the server sends m5 after the client has come back, and before
 * it learns of that; EMQX loses m5. The run of the new session sends m4 and m5, in this order. A process that stood still
 * may add such a copy without its mark.
 */
function readsOfLast({ session, runs }: Mailbox, run: Run, copy: Copy): boolean {
  const isUnmarked = session?.isNew === true && !session.filters.includes(copy.filter) && !runs.some((each) => isRun(each, copy));
  return (copy.isOfLast === true || isUnmarked) && matches(splitShare(run.filter).filter, copy.topic);
}

/**
 * The client's session is over. Copies that were sent before `before`, and runs that were last requested before it,
 * ended with the session. `before` is in ms: EMQX's clock for the runs, the server's clock for the copies.
 * Copies that were sent later may belong to the next session; EMQX is asked about them in time. Those whose run has
 * ended get the mark `isOfLast`. Copies of a shared subscription are not freed, because another member may hold them. A
 * run that began before `since` and was requested again after it starts over with its last request, which may not be
 * the first of the new session. A run whose last request is between `before` and `since` starts over if it began before
 * `before`: that request may be the new session's, and what the run had read was sent to the last one.
 */
export function voided(mailbox: Mailbox, before: number, since = before): Stepped {
  const gone = [...mailbox.out].filter(([, { sentAt }]) => sentAt < before);
  const freed = gone.filter(([, { filter }]) => splitShare(filter).group === null).map(([id]) => id);
  // The inbox subscription ended with the session.
  const current = mailbox.runs.filter(({ requestedAt }) => requestedAt >= before).map((run): Run => ({ ...run, hasInbox: false }));
  const counted = gone.map(([, copy]) => copy);
  const isContinued = ({ at, requestedAt }: Run): boolean => at >= (requestedAt < since ? before : since);
  const runs = current.map((run): Run =>
    isContinued(run) ? withoutCounted(run, counted) : { ...run, at: run.requestedAt, hadAt: since, cursor: START, behind: 'note', sent: 0 },
  );
  const isOfLast = (copy: Copy): boolean => copy.isOfLast === true || !runs.some((run) => isRun(run, copy));
  const out = [...mailbox.out].filter(([, { sentAt }]) => sentAt >= before);
  return {
    mailbox: {
      ...mailbox,
      runs,
      out: new Map(out.map(([id, copy]) => [id, isOfLast(copy) ? { ...copy, isOfLast: true } : copy])),
      again: [],
      held: new Set(),
      budget: 0,
      rounds: 0,
      retryAt: null,
      askAt: null,
      doubtUntil: null,
      pausedUntil: null,
    },
    freed,
  };
}

/** Some entries of `again` were sent once more, or are not needed any more. */
export function retried(mailbox: Mailbox, { copies, done, stopped }: Extract<Fact, { kind: 'resent' }>, now: number): Mailbox {
  const gone = new Set([...copies.map(([id]) => id), ...done]);
  if (gone.size === 0 && !stopped) return withoutRoom(mailbox, now);
  const again = mailbox.again.filter(({ id }) => !gone.has(id));
  const budget = again.length === 0 ? 0 : Math.max(0, mailbox.budget - copies.length);
  const next: Mailbox = {
    ...{ ...mailbox, again, budget, out: new Map([...mailbox.out, ...copies]) },
    ...(copies.length > 0 && { movedAt: now }),
    ...(again.length === 0 && { retryAt: null }),
    ...(stopped && { pausedUntil: now + GRACE_MS }),
  };
  return budget > 0 || stopped ? next : nextTry(next, now);
}

/**
 * The window is full, so nothing was sent. Acknowledgements of the copies that are out make room. If no copy is out,
 * EMQX's own messages fill the window, and EMQX is asked about them after a pause.
 */
function withoutRoom(mailbox: Mailbox, now: number): Mailbox {
  if (mailbox.out.size > 0 || mailbox.again.length === 0) return { ...mailbox, budget: 0 };
  const retryAt = now + GRACE_MS * 2 ** Math.min(mailbox.asks, MOST_DOUBLINGS);
  return { ...mailbox, budget: 0, retryAt, askAt: retryAt };
}

/**
 * The copy with a subscription by which the client still wants it; null if the client has unsubscribed from all known
 * filters that match.
 */
export function wanted<T extends Again | Copy>(mailbox: Mailbox, copy: T): T | null {
  const isLeft = (filter: string): boolean => hasLeft(mailbox, copy.clientid, filter);
  if (!isLeft(copy.filter)) return copy;
  const other = mailbox.session?.filters.find((filter) => matches(splitShare(filter).filter, copy.topic) && !isLeft(filter));
  return other === undefined ? null : { ...copy, filter: other };
}

/**
 * A run at its start reads the lost copies again, so they are subtracted here. Otherwise fetch.limit would count them
 * twice.
 */
function withoutCounted(run: Run, copies: readonly Copy[]): Run {
  if (!isAtStart(run)) return run;
  const own = copies.filter((copy) => isRun(run, copy)).length;
  return own === 0 ? run : { ...run, sent: Math.max(0, run.sent - own) };
}

export function isAtStart({ cursor }: Run): boolean {
  return cursor !== null && cursor.topic === START.topic && cursor.id === START.id;
}

/** Adds those copies to `again` that the client still wants and would acknowledge. */
function withAgain(mailbox: Mailbox, copies: readonly [string, Copy][]): Again[] {
  const known = new Set(mailbox.again.map(({ id }) => id));
  const more = copies.flatMap(([id, copy]): Again[] => {
    const one = copy.qos === 0 || copy.isRead === true || known.has(id) ? null : wanted(mailbox, copy);
    return one === null ? [] : [{ id, topic: one.topic, qos: one.qos, clientid: one.clientid, filter: one.filter }];
  });
  return [...mailbox.again, ...more].sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** Sets `isMissing` of each copy. */
export function marked(out: Mailbox['out'], isMissing: (copy: Copy) => boolean): Mailbox['out'] {
  return new Map([...out].map(([id, copy]) => [id, { ...copy, isMissing: isMissing(copy) }]));
}

/** Cancels the next try if nothing is left to be sent again. */
export function withoutTries(mailbox: Mailbox): Mailbox {
  return mailbox.again.length > 0 ? mailbox : { ...mailbox, budget: 0, retryAt: null };
}
