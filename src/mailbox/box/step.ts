import { GRACE_MS, GROUP_LOST_MS, ON_ITS_WAY_MS, SILENCE_MS } from '../times';
import { asked, MOST_LAG_MS } from './asked';
import { connected, disconnected } from './connections';
import { isRun, isStill, kept, type Fact, type Of, type RunRef, type Sent, type Stepped } from './fact';
import { dropped, lost, marked, retried, withoutTries } from './losses';
import { isGroup, START, type Cursor, type Mailbox, type Run } from './mailbox';
import { subscribed, unsubscribed } from './subscriptions';

/**
 * How many dropped copies may be sent again for each acknowledgement. The number is small, because EMQX's queue had no
 * room for them.
 */
const AGAIN_PER_ACK = 2;
/**
 * While EMQX holds messages of its own, a run looks again after this time (ms). The pause doubles with each look, at
 * most HELD_LOOK_DOUBLINGS times.
 */
const HELD_LOOK_MS = 30_000;
const HELD_LOOK_DOUBLINGS = 4;
/**
 * The pause between two checks whether a lane has done its writes (ms). It doubles each time, so that a backlog causes
 * few checks.
 */
const FIRST_GATE_MS = 10;
const LAST_GATE_MS = 500;
/** How many late messages a run remembers, so that it does not send those again that EMQX dropped for good. */
const MOST_LATE = 128;

/**
 * Returns the next mailbox after one fact. All decisions of delivery are made here and in the functions of this folder.
 * Facts come in any order and may come twice. The function is pure; `now` is the server's clock (ms).
 */
export function step(mailbox: Mailbox, fact: Fact, now: number): Stepped {
  switch (fact.kind) {
    case 'connected':
      return connected(mailbox, fact, now);
    case 'disconnected':
      return disconnected(mailbox, fact, now);
    case 'subscribed':
      return subscribed(mailbox, fact.request, now);
    case 'unsubscribed':
      return unsubscribed(mailbox, fact, now);
    case 'acked':
      return kept(acked(mailbox, fact.id, fact.isCopy, now));
    case 'dropped':
      return dropped(mailbox, fact, now);
    case 'asked':
      return asked(mailbox, fact, now);
    case 'due':
      return due(outlasting(mailbox, fact.lagMs ?? 0, now), now);
    case 'gated':
      return kept(ofRun(mailbox, fact, (run) => (isStill(run, fact) ? gated(run, fact.tails, now) : run)));
    case 'sent':
      return kept(sent(mailbox, fact, now));
    case 'resent':
      return kept(retried(mailbox, fact, now));
    case 'repeated':
      return kept(repeated(mailbox));
  }
}

/** A group's runs wait for the lanes of its members, too, because the acknowledgements are there. */
function repeated(mailbox: Mailbox): Mailbox {
  const waiting = (run: Run): Run => (isGroup(mailbox) ? { ...run, behind: 'note', gathers: 1 } : { ...run, behind: run.behind ?? 'note' });
  return { ...mailbox, runs: mailbox.runs.map(waiting) };
}

function acked(mailbox: Mailbox, id: string, isCopy: boolean, now: number): Mailbox {
  const isOut = isCopy && mailbox.out.has(id);
  const isHeld = mailbox.held.has(id);
  const again = mailbox.again.some((each) => each.id === id) ? mailbox.again.filter((each) => each.id !== id) : mailbox.again;
  if (!isOut && !isHeld) {
    const out = withRead(mailbox.out, id);
    const next = again === mailbox.again && out === mailbox.out ? mailbox : withoutTries({ ...mailbox, again, out });
    return isOfBefore(mailbox, id) ? waiting(next, now) : next;
  }
  const held = isHeld ? new Set([...mailbox.held].filter((each) => each !== id)) : mailbox.held;
  const out = isOut ? new Map([...mailbox.out].filter(([each]) => each !== id)) : withRead(mailbox.out, id);
  const budget = again.length === 0 ? 0 : mailbox.budget + AGAIN_PER_ACK;
  return waiting({ ...mailbox, out, again, held, budget, rounds: 0, asks: 0, retryAt: null, movedAt: now }, now);
}

/** The consumer has acknowledged the message, but not the copy that was sent from this mailbox. */
function withRead(out: Mailbox['out'], id: string): Mailbox['out'] {
  const copy = out.get(id);
  return copy === undefined || copy.isRead === true ? out : new Map([...out, [id, { ...copy, isRead: true }]]);
}

/**
 * Whether the message was published before a run's subscription, so that the client acknowledges what EMQX had queued.
 * Acknowledgements of live messages never end, so they must not prolong the wait. The first 64 bits of EMQX's ids are
 * the time in microseconds.
 */
function isOfBefore({ runs }: Mailbox, id: string): boolean {
  if (!/^[0-9A-F]{32}$/.test(id)) return false;
  const publishedAt = Number(BigInt(`0x${id.slice(0, 16)}`) / 1_000n);
  return runs.some(({ at }) => publishedAt <= at);
}

/** Where only the client's silence shows what is lost, each acknowledgement prolongs the wait. */
function waiting(mailbox: Mailbox, now: number): Mailbox {
  const { doubtUntil } = mailbox;
  return doubtUntil !== null && doubtUntil > now && mailbox.doubtsBySilence ? { ...mailbox, doubtUntil: now + SILENCE_MS } : mailbox;
}

/**
 * Prolongs the wait when events are late, because acknowledgements from before EMQX was asked then also arrive later.
 */
function outlasting(mailbox: Mailbox, lagMs: number, now: number): Mailbox {
  const { doubtUntil, askedAt } = mailbox;
  if (doubtUntil === null || doubtUntil > now) return mailbox;
  const until = askedAt + ON_ITS_WAY_MS + Math.min(lagMs, MOST_LAG_MS);
  return until > now ? { ...mailbox, doubtUntil: until } : mailbox;
}

function due(mailbox: Mailbox, now: number): Stepped {
  const isOver = (at: number | null): boolean => at !== null && at <= now;
  if (!isAnythingDue(mailbox, now)) return kept(mailbox);
  let next: Mailbox = {
    ...mailbox,
    ...(isOver(mailbox.wakeAt) && { wakeAt: isOver(mailbox.thenAt) ? null : mailbox.thenAt, thenAt: null }),
    pausedUntil: isOver(mailbox.pausedUntil) ? null : mailbox.pausedUntil,
    ...(isOver(mailbox.retryAt) && { retryAt: null, budget: mailbox.again.length === 0 ? 0 : Math.max(1, mailbox.budget) }),
  };
  const freed: string[] = [];
  const isStuck = isGroup(next) && next.runs.some(({ cursor }) => cursor !== null);
  if (isStuck) next = { ...next, out: marked(next.out, ({ sentAt }) => sentAt <= now - GROUP_LOST_MS) };
  if (isOver(next.doubtUntil) || isStuck) {
    const settled = lost({ ...next, doubtUntil: null, doubtsBySilence: false }, now);
    next = settled.mailbox;
    freed.push(...settled.freed);
  }
  if (next.session?.connected === false || !next.runs.some(({ lookAt }) => isOver(lookAt))) return { mailbox: next, freed };
  // EMQX may have lost meanwhile what it held.
  const isDoubtful = !isGroup(next) && next.held.size > 0;
  const gathers = isGroup(next) ? 1 : 0;
  const again = { cursor: START, behind: 'note', gathers, leavesRetained: false, lookAt: null, isBlocked: false } as const;
  const runs = next.runs.map((run): Run => (isOver(run.lookAt) ? { ...run, ...again, looks: run.looks + 1 } : run));
  return { mailbox: { ...next, runs, ...(isDoubtful && { askAt: now }) }, freed };
}

function isAnythingDue(mailbox: Mailbox, now: number): boolean {
  const { wakeAt, pausedUntil, retryAt, doubtUntil, runs } = mailbox;
  const times = [wakeAt, pausedUntil, retryAt, doubtUntil, ...runs.map(({ lookAt }) => lookAt)];
  return isGroup(mailbox) || times.some((at) => at !== null && at <= now);
}

function gated(run: Run, tails: Of<'gated'>['tails'], now: number): Run {
  if (tails === null) return run.gathers > 0 ? { ...run, gathers: run.gathers - 1, behind: 'note' } : { ...run, behind: null };
  const waits = run.behind === null || run.behind === 'note' ? 0 : run.behind.waits + 1;
  return { ...run, behind: { tails, waits, at: now + Math.min(FIRST_GATE_MS * 2 ** waits, LAST_GATE_MS) } };
}

function sent(mailbox: Mailbox, fact: Sent, now: number): Mailbox {
  const { copies, cursor, window, late = [], unclocked, pauseUntil, isBlocked, isOver, hasInbox } = fact;
  const out = copies.length === 0 ? mailbox.out : new Map([...mailbox.out, ...copies]);
  const next: Mailbox = {
    ...mailbox,
    out,
    ...(copies.length > 0 && { movedAt: now }),
    ...(pauseUntil !== null && { pausedUntil: pauseUntil }),
  };
  // Another process was quicker, or the client has subscribed again meanwhile: the run reads from where it is.
  if (!next.runs.some((run) => isStill(run, fact) && isSame(run.cursor, fact.from))) return next;
  if (isOver) return { ...next, runs: next.runs.filter((run) => !isRun(run, fact)) };
  const read = ofRun(next, fact, (run) => ({
    ...{ ...run, cursor, window: window ?? run.window, hasInbox: run.hasInbox || hasInbox },
    ...{ sent: run.sent + copies.length + unclocked, isBlocked: run.isBlocked || isBlocked },
    ...(late.length > 0 && { late: [...(run.late ?? []), ...late].slice(-MOST_LATE) }),
  }));
  return cursor === null ? { ...read, runs: read.runs.flatMap((run) => (isRun(run, fact) ? finished(read, run, now) : [run])) } : read;
}

function isSame(a: Cursor | null, b: Cursor | null): boolean {
  return a?.topic === b?.topic && a?.id === b?.id;
}

/** The run has read everything. It is removed, unless it has to look again. */
function finished(mailbox: Mailbox, run: Run, now: number): Run[] {
  if (run.lookAt !== null) return [run];
  if (run.isBlocked) return [{ ...run, lookAt: now + GRACE_MS }];
  const unknown = [...mailbox.out.values()].some(({ emqxId, filter, clientid }) => emqxId === null && isRun(run, { filter, clientid }));
  return mailbox.held.size > 0 || unknown
    ? [{ ...run, lookAt: now + HELD_LOOK_MS * 2 ** Math.min(run.looks - 1, HELD_LOOK_DOUBLINGS) }]
    : [];
}

function ofRun(mailbox: Mailbox, ref: RunRef, change: (run: Run) => Run): Mailbox {
  return { ...mailbox, runs: mailbox.runs.map((run) => (isRun(run, ref) ? change(run) : run)) };
}
