import { matches, splitShare } from '../../mqtt/topic';
import { GRACE_MS } from '../times';
import { isRun, type Fact, type Stepped } from './fact';
import { isGroup, MOST_DOUBLINGS, START, UNTOLD, type Again, type Copy, type Mailbox, type Run } from './mailbox';

/** The same copy would be dropped again: it has expired, or this client can't have it. Others may. */
const FOR_GOOD = new Set(['expired', 'too_large', 'no_local']);
/** Then the client is left alone until it subscribes again: about five minutes after the last acknowledgement. */
const MOST_ROUNDS = 5;
/** How many of what was lost without a word may be sent again at once: it is known that EMQX does not have them, so its queue has room. */
const LOST_AT_ONCE = 50;

/** EMQX gave up the copy: it frees its place, and is sent again as the client takes others: at once it would only be dropped again (promise 10). */
export function dropped(mailbox: Mailbox, { id, reason, copyId }: Extract<Fact, { kind: 'dropped' }>, now: number): Stepped {
  const copy = mailbox.out.get(id);
  // Only what is out counts: an event may come twice, when another copy was sent, or after the acknowledgement of one.
  if (copy === undefined || isAnother(copy, copyId)) return { mailbox, freed: [] };
  const out = new Map(mailbox.out);
  out.delete(id);
  const again = FOR_GOOD.has(reason) ? mailbox.again : withAgain(mailbox, [[id, copy]]);
  return { mailbox: nextTry({ ...mailbox, out, again }, now), freed: [id] };
}

/** The event is about another copy of the message. */
function isAnother({ emqxId }: Copy, copyId: string | null | undefined): boolean {
  return copyId !== null && copyId !== undefined && emqxId !== null && emqxId !== UNTOLD && copyId !== emqxId;
}

/** With nothing out no acknowledgement will ask for more: one is tried after a while, and after some vain tries no more. */
function nextTry(mailbox: Mailbox, now: number): Mailbox {
  const { out, again, runs, rounds, retryAt } = mailbox;
  if (out.size > 0 || again.length === 0 || retryAt !== null) return mailbox;
  if (rounds >= MOST_ROUNDS) return { ...mailbox, again: [], budget: 0, rounds: 0, runs: [] };
  return { ...mailbox, runs, rounds: rounds + 1, budget: 0, retryAt: now + GRACE_MS * 2 ** rounds };
}

/** What EMQX did not have, and was not acknowledged meanwhile, is lost (promise 23). */
export function lost(mailbox: Mailbox, now: number): Stepped {
  const gone = [...mailbox.out].filter(([, { isMissing }]) => isMissing);
  if (gone.length === 0) return { mailbox, freed: [] };
  const out = new Map([...mailbox.out].filter(([, { isMissing }]) => !isMissing));
  // Any member's run reads for its group.
  const isReader = (run: Run, copy: Copy): boolean => (isGroup(mailbox) ? run.filter === copy.filter : isRun(run, copy));
  const isReread = (copy: Copy): boolean => mailbox.runs.some((run) => isReader(run, copy) && isAtStart(run));
  const again = withAgain(
    mailbox,
    gone.filter(([, copy]) => !isReread(copy)),
  );
  const copies = gone.map(([, copy]) => copy);
  // What was acknowledged meanwhile, and is on its way here, must be known before they are read again.
  // They may be lost with their connection, and the subscription of the inbox with it.
  const waits = { behind: 'note', gathers: isGroup(mailbox) ? 1 : 0, hasInbox: false } as const;
  const runs = mailbox.runs.map((run): Run => (isAtStart(run) ? { ...withoutCounted(run, copies), ...waits } : run));
  const budget = again.length === 0 ? 0 : Math.max(mailbox.budget, LOST_AT_ONCE);
  return { mailbox: { ...mailbox, out, again, runs, budget, retryAt: null, movedAt: now }, freed: gone.map(([id]) => id) };
}

/**
 * The client's session is over, and what it had with it: copies that were sent, and runs of subscriptions that were made, before `before` (ms, EMQX's clock; ours
 * for the copies). What was sent later may be in the next session: EMQX is asked in time. What a shared subscription was sent may be with another member.
 * A run that began before `since` and was asked for once more after it reads anew, for the last of its requests.
 */
export function voided(mailbox: Mailbox, before: number, since = before): Stepped {
  const gone = [...mailbox.out].filter(([, { sentAt }]) => sentAt < before);
  const freed = gone.filter(([, { filter }]) => splitShare(filter).group === null).map(([id]) => id);
  const out = gone.length === mailbox.out.size ? new Map() : new Map([...mailbox.out].filter(([, { sentAt }]) => sentAt >= before));
  // The subscription of the inbox was the session's, too.
  const current = mailbox.runs.filter(({ requestedAt }) => requestedAt >= before).map((run): Run => ({ ...run, hasInbox: false }));
  const counted = gone.map(([, copy]) => copy);
  const runs = current.map((run): Run =>
    run.at >= since || run.requestedAt < since
      ? withoutCounted(run, counted)
      : { ...run, at: run.requestedAt, cursor: START, behind: 'note', sent: 0 },
  );
  return {
    mailbox: {
      ...mailbox,
      runs,
      out,
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

/** Some of `again` went out once more. */
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

/** The window is full: acknowledgements make room. With nothing out it is full of what EMQX has of its own, which is asked for after a while. */
function withoutRoom(mailbox: Mailbox, now: number): Mailbox {
  if (mailbox.out.size > 0 || mailbox.again.length === 0) return { ...mailbox, budget: 0 };
  const retryAt = now + GRACE_MS * 2 ** Math.min(mailbox.asks, MOST_DOUBLINGS);
  return { ...mailbox, budget: 0, retryAt, askAt: retryAt };
}

/** For which of its subscriptions the client still wants what it was sent; null: it has unsubscribed all that are known. */
export function wanted<T extends Again | Copy>({ left, session }: Mailbox, copy: T): T | null {
  const hasLeft = (filter: string): boolean => left.some((each) => isRun(each, { clientid: copy.clientid, filter }));
  if (!hasLeft(copy.filter)) return copy;
  const other = session?.filters.find((filter) => matches(splitShare(filter).filter, copy.topic) && !hasLeft(filter));
  return other === undefined ? null : { ...copy, filter: other };
}

/** What has to be sent again counts once for fetch.limit, where the run reads it again. */
function withoutCounted(run: Run, copies: readonly Copy[]): Run {
  if (!isAtStart(run)) return run;
  const own = copies.filter((copy) => isRun(run, copy)).length;
  return own === 0 ? run : { ...run, sent: Math.max(0, run.sent - own) };
}

export function isAtStart({ cursor }: Run): boolean {
  return cursor !== null && cursor.topic === START.topic && cursor.id === START.id;
}

/** Of the copies those that somebody still wants, and would acknowledge. */
function withAgain(mailbox: Mailbox, copies: readonly [string, Copy][]): Again[] {
  const known = new Set(mailbox.again.map(({ id }) => id));
  const more = copies.flatMap(([id, copy]): Again[] => {
    const one = copy.qos === 0 || known.has(id) ? null : wanted(mailbox, copy);
    return one === null ? [] : [{ id, topic: one.topic, qos: one.qos, clientid: one.clientid, filter: one.filter }];
  });
  return [...mailbox.again, ...more].sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** Notes of each copy whether it is missing. */
export function marked(out: Mailbox['out'], isMissing: (copy: Copy) => boolean): Mailbox['out'] {
  return new Map([...out].map(([id, copy]) => [id, { ...copy, isMissing: isMissing(copy) }]));
}

/** With nothing to be sent again there is nothing to wait for. */
export function withoutTries(mailbox: Mailbox): Mailbox {
  return mailbox.again.length > 0 ? mailbox : { ...mailbox, budget: 0, retryAt: null };
}
