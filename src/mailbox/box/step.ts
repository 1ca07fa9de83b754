import { matches, splitShare } from '../../mqtt/topic';
import { GRACE_MS, GROUP_LOST_MS, SILENCE_MS, STORM_MS } from '../times';
import { asked } from './asked';
import { filtersSince, hasOverlap, needsAnswer, rememberFilter } from './freshness';
import { isRun, type Fact, type RunRef, type Sent, type Stepped } from './fact';
import { dropped, lost, marked, retried, voided, wanted } from './losses';
import { isGroup, START, type Copy, type Left, type Mailbox, type Run } from './mailbox';

/** How many copies that EMQX dropped may be sent again for each acknowledgement: what its queue had no room for comes back slowly. */
const AGAIN_PER_ACK = 2;
const MOST_LEFT = 64;
const MOST_MEMBERS = 8;
/** While EMQX holds messages of its own, they are looked at again after so long, and less and less often. ms. */
const HELD_LOOK_MS = 30_000;
const MOST_DOUBLINGS = 4;
/** Between two looks whether a lane has done its writes: some 10 ms in a quiet system; behind a backlog the looks become fewer. ms. */
const FIRST_GATE_MS = 10;
const LAST_GATE_MS = 500;

/**
 * Everything about delivery: the next mailbox from what it learns. Facts come in any order and more than once. Pure; `now` is our clock (ms).
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
      return due(mailbox, now);
    case 'gated':
      return kept(ofRun(mailbox, fact, (run) => gated(run, fact.tails, now)));
    case 'sent':
      return kept(sent(mailbox, fact, now));
    case 'resent':
      return kept(retried(mailbox, fact, now));
    case 'repeated':
      return kept({ ...mailbox, runs: mailbox.runs.map((run) => ({ ...run, behind: run.behind ?? 'note' })) });
  }
}

const kept = (mailbox: Mailbox): Stepped => ({ mailbox, freed: [] });

type Of<Kind extends Fact['kind']> = Extract<Fact, { kind: Kind }>;

/** A clean session has none of what the last one had; one that resumes may have all of it, and EMQX is asked when something depends on it. */
function connected(mailbox: Mailbox, { at, cleanStart, expiryMs }: Of<'connected'>, now: number): Stepped {
  const { session } = mailbox;
  if (session !== null && at < session.connectedAt) return kept(mailbox);
  if (session !== null && at === session.connectedAt) {
    const isNew = session.isNew ?? (cleanStart === true ? true : null);
    return kept({ ...mailbox, session: { ...session, isNew, isTold: true, expiryMs: expiryMs ?? session.expiryMs } });
  }
  const isNew = cleanStart === true ? true : null;
  const next: Mailbox = {
    ...mailbox,
    session: { connectedAt: at, connected: true, isNew, expiryMs, isTold: true, filters: filtersSince(mailbox, at) },
    ...{ held: new Set(), asks: 0, doubtUntil: null, askAt: null, movedAt: now },
  };
  if (isNew === true) {
    const { mailbox: begun, freed } = voided(next, at);
    return { mailbox: hasOverlap(begun) ? { ...begun, askAt: now } : begun, freed };
  }
  const isWaiting = next.out.size > 0 || next.runs.length > 0;
  return kept({ ...next, askAt: isWaiting ? now : null });
}

/** Its end may be told after the beginning of the next connection. */
function disconnected(mailbox: Mailbox, { at, connectedAt }: Of<'disconnected'>, now: number): Stepped {
  const { session } = mailbox;
  if (session !== null && (connectedAt ?? at) < session.connectedAt) return kept(mailbox);
  const isKnown = session !== null && (connectedAt ?? session.connectedAt) === session.connectedAt;
  // Of a connection whose beginning was not told yet it is not known whether its session outlives it.
  const known = isKnown ? session : { connectedAt: connectedAt ?? at, isNew: null, expiryMs: null, isTold: true, filters: session?.filters ?? [] };
  // Who has subscribed since is there: nobody has told of that connection yet, or nobody will.
  const isBack = mailbox.runs.some(({ requestedAt }) => requestedAt > at);
  if (isBack) return kept({ ...mailbox, session: presentAgain({ ...known, connected: false }), askAt: now });
  const next: Mailbox = { ...mailbox, session: { ...known, connected: false }, askAt: null, doubtUntil: null };
  return known.expiryMs === 0 ? voided(next, at + 1) : kept(next);
}

/** Reads the filter from its start, unless that is what a moment ago was begun (promise 9). */
function subscribed(mailbox: Mailbox, request: Of<'subscribed'>['request'], now: number): Stepped {
  const { clientid, filter, qos, at } = request;
  if (mailbox.left.some((left) => isRun(left, request) && left.at >= at)) return kept(mailbox);
  const isOwn = (run: Run) => run.filter === filter && (!isGroup(mailbox) || run.clientid === clientid);
  const before = mailbox.runs.find(isOwn);
  const isOfThisConnection = before !== undefined && (mailbox.session === null || before.at >= mailbox.session.connectedAt || at < mailbox.session.connectedAt);
  const isStorm = before !== undefined && isOfThisConnection && at < before.at + STORM_MS;
  if (isStorm && (before.qos === qos || at < before.requestedAt)) return kept(repeatedly(mailbox, before, at, now));
  const isShared = splitShare(filter).group !== null;
  const run: Run = {
    ...{ clientid, filter, qos, at: isStorm ? before.at : at, requestedAt: at, cursor: START, behind: 'note', gathers: isGroup(mailbox) ? 1 : 0 },
    ...{ sent: isStorm ? before.sent : 0, window: null, leavesRetained: !isShared, lookAt: now + GRACE_MS, looks: 0, isBlocked: false, hasInbox: false },
  };
  const others = mailbox.runs.filter((each) => !isOwn(each));
  const ofFilter = others.filter((each) => each.filter === filter).slice(0, MOST_MEMBERS - 1);
  const runs = [...others.filter((each) => each.filter !== filter), run, ...ofFilter];
  // The run reads in its place what EMQX had dropped.
  const again = mailbox.again.filter(({ topic }) => !matches(splitShare(filter).filter, topic));
  const isAsked = needsAnswer(mailbox, request);
  const left = mailbox.left.filter((each) => !isRun(each, request));
  const next: Mailbox = { ...mailbox, session: presentAgain(mailbox.session), runs, again, left, rounds: 0, ...(again.length === 0 && { retryAt: null, budget: 0 }), ...(isAsked && { askAt: now, asks: 0 }) };
  if (!isGroup(mailbox)) return kept(rememberFilter(next, request));
  // What the group's other members have for longer than that is sent to this one.
  const isOld = (copy: Copy): boolean => copy.filter === filter && copy.sentAt < at - GRACE_MS;
  return lost({ ...next, out: marked(next.out, isOld) }, now);
}

/** Who subscribes is there: another connection began, and nobody has told of it. */
function presentAgain(session: Mailbox['session']): Mailbox['session'] {
  return session === null || session.connected ? session : { ...session, connected: true, isNew: null, isTold: false };
}

/** It may be another connection that nobody has told of yet, with nothing of what this one was sent. */
function repeatedly(mailbox: Mailbox, run: Run, at: number, now: number): Mailbox {
  const { session, runs } = mailbox;
  const isTold = session?.isTold === true;
  // The first of the storm may come late: what was published after it EMQX has delivered.
  const isEarlier = at < run.at && at >= (session?.connectedAt ?? -Infinity);
  const began = isEarlier && at > run.at - STORM_MS ? at : run.at;
  const noted = runs.map((each) => (each === run ? { ...run, at: began, requestedAt: Math.max(at, run.requestedAt) } : each));
  const isBack = session?.connected === false && at > run.requestedAt;
  const isInDoubt = isBack || ((!isTold || isEarlier) && !isGroup(mailbox));
  return { ...mailbox, runs: noted, ...(isBack && { session: presentAgain(session) }), ...(isInDoubt && { askAt: now }) };
}

function unsubscribed(mailbox: Mailbox, fact: Of<'unsubscribed'>, now: number): Stepped {
  const { clientid, filter, at } = fact;
  const newest: Left = { clientid, filter, at: Math.max(at, ...mailbox.left.filter((left) => isRun(left, fact)).map((left) => left.at)) };
  const own = mailbox.runs.find((run) => isRun(run, fact));
  const isOver = own === undefined || own.requestedAt <= at;
  const left = [...mailbox.left.filter((each) => !isRun(each, fact)), newest].slice(-MOST_LEFT);
  if (own !== undefined && !isOver && own.at > at) return kept({ ...mailbox, left });
  const runs = mailbox.runs.filter((run) => run !== own);
  // It was told late: what looked like one storm were two subscriptions.
  if (own !== undefined && !isOver) return subscribed({ ...mailbox, runs, left }, { ...own, at: own.requestedAt }, now);
  const next = { ...mailbox, runs, left };
  return kept(withoutTries({ ...next, again: mailbox.again.flatMap((each) => wanted(next, each) ?? []) }));
}

/** With nothing to be sent again there is nothing to wait for. */
function withoutTries(mailbox: Mailbox): Mailbox {
  return mailbox.again.length > 0 ? mailbox : { ...mailbox, budget: 0, retryAt: null };
}

function acked(mailbox: Mailbox, id: string, isCopy: boolean, now: number): Mailbox {
  const isOut = isCopy && mailbox.out.has(id);
  const isHeld = mailbox.held.has(id);
  const again = mailbox.again.some((each) => each.id === id) ? mailbox.again.filter((each) => each.id !== id) : mailbox.again;
  if (!isOut && !isHeld) {
    const next = again === mailbox.again ? mailbox : withoutTries({ ...mailbox, again });
    return isOfBefore(mailbox, id) ? waiting(next, now) : next;
  }
  const held = isHeld ? new Set([...mailbox.held].filter((each) => each !== id)) : mailbox.held;
  const out = isOut ? new Map([...mailbox.out].filter(([each]) => each !== id)) : mailbox.out;
  const budget = again.length === 0 ? 0 : mailbox.budget + AGAIN_PER_ACK;
  return waiting({ ...mailbox, out, again, held, budget, rounds: 0, asks: 0, retryAt: null, movedAt: now }, now);
}

/** Published before a run's subscription, so that EMQX's queue is what the client acknowledges; what arrives live goes on for ever. EMQX's ids begin with the time. */
function isOfBefore({ runs }: Mailbox, id: string): boolean {
  if (!/^[0-9A-F]{32}$/.test(id)) return false;
  const publishedAt = Number(BigInt(`0x${id.slice(0, 16)}`) / 1_000n);
  return runs.some(({ at }) => publishedAt <= at);
}

/** Where only silence can tell what is lost, each acknowledgement puts that off. */
function waiting(mailbox: Mailbox, now: number): Mailbox {
  const { doubtUntil } = mailbox;
  return doubtUntil !== null && doubtUntil > now && mailbox.doubtsBySilence ? { ...mailbox, doubtUntil: now + SILENCE_MS } : mailbox;
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
  // EMQX may have lost by now what it held.
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
  const { copies, cursor, window, unclocked, pauseUntil, isBlocked, isOver, hasInbox } = fact;
  const out = copies.length === 0 ? mailbox.out : new Map([...mailbox.out, ...copies]);
  const next: Mailbox = { ...mailbox, out, ...(copies.length > 0 && { movedAt: now }), ...(pauseUntil !== null && { pausedUntil: pauseUntil }) };
  if (isOver) return { ...next, runs: next.runs.filter((run) => !isRun(run, fact)) };
  const read = ofRun(next, fact, (run) => ({
    ...{ ...run, cursor, window: window ?? run.window, hasInbox: run.hasInbox || hasInbox },
    ...{ sent: run.sent + copies.length + unclocked, isBlocked: run.isBlocked || isBlocked },
  }));
  return cursor === null ? { ...read, runs: read.runs.flatMap((run) => (isRun(run, fact) ? finished(read, run, now) : [run])) } : read;
}

/** It has read all: it goes, unless it is to look again. */
function finished(mailbox: Mailbox, run: Run, now: number): Run[] {
  if (run.lookAt !== null) return [run];
  if (run.isBlocked) return [{ ...run, lookAt: now + GRACE_MS }];
  const unknown = [...mailbox.out.values()].some(({ emqxId, filter, clientid }) => emqxId === null && isRun(run, { filter, clientid }));
  return mailbox.held.size > 0 || unknown ? [{ ...run, lookAt: now + HELD_LOOK_MS * 2 ** Math.min(run.looks - 1, MOST_DOUBLINGS) }] : [];
}

function ofRun(mailbox: Mailbox, ref: RunRef, change: (run: Run) => Run): Mailbox {
  return { ...mailbox, runs: mailbox.runs.map((run) => (isRun(run, ref) ? change(run) : run)) };
}
