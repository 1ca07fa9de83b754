import type { HeldView, SessionView } from '../../emqx/api';
import { splitShare, stripInbox } from '../../mqtt/topic';
import { GROUP_LOST_MS, ON_ITS_WAY_MS, SILENCE_MS } from '../times';
import type { Fact, Stepped } from './fact';
import { filtersSince, hasOverlap } from './freshness';
import { isAtStart, marked, voided } from './losses';
import { MOST_DOUBLINGS, type Copy, type Mailbox, type Run, type Session } from './mailbox';

/** The clocks of EMQX's nodes, and ours where an operator asks for a delivery, are not quite the same. ms. */
const SAME_MOMENT_MS = 1_000;
/** EMQX notes the session and right after it the connection that begins it. ms. */
const BIRTH_MS = 50;
/** As long as EMQX has this much of its own for the client nothing is added to it. */
const MUCH = 50;
const FIRST_PAUSE_MS = 1_000;
/** A greater one is a clock that is wrong. ms. */
export const MOST_LAG_MS = 10_000;
/** So many answers about an older connection are not believed. */
const MOST_STALE = 3;
const REST_PUBLISHER = 'http_api';

/** EMQX has told what it holds for the client. */
export function asked(mailbox: Mailbox, { session: view, held }: Extract<Fact, { kind: 'asked' }>, now: number): Stepped {
  const asks = mailbox.asks + 1;
  if (view === null) {
    const session = mailbox.session === null ? null : { ...mailbox.session, connected: false };
    return voided({ ...mailbox, session, asks, askedAt: now }, Infinity);
  }
  if (isStale(view, mailbox)) return askedInVain({ ...mailbox, asks, askedAt: now }, now);
  const session = sessionOf(mailbox, view);
  const before: Mailbox = { ...mailbox, session, asks, askedAt: now, askAt: null };
  // It has the copies of an older session no more, and what that had subscribed to.
  const isNewer = session.isNew === true && (mailbox.session?.isNew !== true || mailbox.session.connectedAt < view.connectedAt);
  const isOver = isNewer || isYounger(view, mailbox);
  const { mailbox: next, freed } = isOver
    ? voided(before, view.createdAt - SAME_MOMENT_MS, Math.min(view.createdAt, view.connectedAt))
    : { mailbox: before, freed: [] };
  if (!session.connected) return { mailbox: { ...next, doubtUntil: null }, freed };
  if (view.durable) return ofDurable(next, freed);
  if (held === null) return { mailbox: { ...next, held: new Set() }, freed };
  // Of a session that is known to be new EMQX is asked because of another subscription of it, which may be of the same filter.
  const isFirst = mailbox.session?.isNew !== true || mailbox.session.isDurable === null || mailbox.session.connectedAt < view.connectedAt;
  return { mailbox: held.kind === 'list' ? compared(next, held, isFirst, now) : guessed(next, view, isFirst, now), freed };
}

/**
 * Whether the connection began the session. To say so of one that a quick client has resumed costs duplicates: what EMQX holds for it is sent, too. To say of
 * a new one that it is resumed costs a second.
 */
export function beganSession({ createdAt, connectedAt }: SessionView): boolean {
  return createdAt >= connectedAt - BIRTH_MS;
}

/** The session began after what is known of the client: of the connection that began it nobody told. */
function isYounger({ createdAt, connectedAt }: SessionView, { session, runs }: Mailbox): boolean {
  const began = Math.min(createdAt, connectedAt);
  const isOlder = ({ at, requestedAt }: Run): boolean => at < began && (requestedAt >= began || requestedAt < createdAt - SAME_MOMENT_MS);
  return (session !== null && session.connectedAt < began - SAME_MOMENT_MS) || runs.some(isOlder);
}

/** Of an older connection than the one that is known: this process stood still with it, or EMQX has not noted the new one. Clocks may go back: not for ever. */
function isStale({ connectedAt }: SessionView, { session, asks }: Mailbox): boolean {
  return session !== null && connectedAt < session.connectedAt - SAME_MOMENT_MS && asks < MOST_STALE;
}

function askedInVain(mailbox: Mailbox, now: number): Stepped {
  const askAt = now + FIRST_PAUSE_MS * 2 ** (mailbox.asks - 1);
  return { mailbox: { ...mailbox, out: marked(mailbox.out, () => false), askAt, doubtUntil: askAt }, freed: [] };
}

function sessionOf(mailbox: Mailbox, view: SessionView): Session {
  const { session: known } = mailbox;
  const { connectedAt, connected, persistent } = view;
  const isSame = known !== null && known.connectedAt >= connectedAt;
  return {
    connectedAt: isSame ? known.connectedAt : connectedAt,
    connected,
    isNew: beganSession(view),
    expiryMs: isSame && known.expiryMs !== null ? known.expiryMs : persistent ? null : 0,
    isTold: isSame && known.isTold,
    filters: isSame ? known.filters : filtersSince(mailbox, connectedAt - SAME_MOMENT_MS),
    isDurable: view.durable,
  };
}

/** No acknowledgement will come: nothing is waited for. Copies from before this was known are still stored, and go out once more. */
function ofDurable(mailbox: Mailbox, freed: readonly string[]): Stepped {
  return {
    mailbox: { ...mailbox, out: new Map(), again: [], held: new Set(), budget: 0, retryAt: null, doubtUntil: null },
    freed: [...freed, ...mailbox.out.keys()],
  };
}

type List = Extract<HeldView, { kind: 'list' }>;

/** By EMQX's own list. What it does not have may be acknowledged, and the event on its way: only after a moment it is lost. */
function compared(mailbox: Mailbox, { messages, complete: isComplete }: List, isFirst: boolean, now: number): Mailbox {
  const listed = new Set(messages.map(({ id }) => id));
  const ours = new Set([...mailbox.out.values()].flatMap(({ emqxId }) => emqxId ?? []));
  const others = messages.filter(({ id }) => !ours.has(id));
  const unknown = new Set(others.filter(({ from }) => from === REST_PUBLISHER).map(({ topic }) => stripInbox(topic)?.topic ?? topic));
  const isMissing = (copy: Copy): boolean => {
    if (!isComplete) return false;
    if (isPerhapsWithAnother(copy, now)) return false;
    return copy.emqxId === null ? !unknown.has(copy.topic) : !listed.has(copy.emqxId);
  };
  const out = marked(mailbox.out, isMissing);
  const held = new Set(others.map(({ id }) => id));
  const begins = isBeginning(mailbox) && !(isFirst && isUntouched(mailbox) && listed.size === 0);
  const isInDoubt = begins || [...out.values()].some((copy) => copy.isMissing);
  const isMuch = held.size > MUCH || !isComplete;
  return {
    ...{ ...mailbox, out, held, doubtsBySilence: false },
    doubtUntil: isInDoubt ? now + ON_ITS_WAY_MS + lagOf(mailbox, now) : null,
    askAt: isMuch && mailbox.runs.length > 0 ? now + FIRST_PAUSE_MS * 2 ** Math.min(mailbox.asks - 1, MOST_DOUBLINGS) : null,
  };
}

/**
 * EMQX can't list it (older than 5.7), but it tells how many it has: of more copies than that the oldest are missing, since EMQX drops the oldest and clients
 * acknowledge them first. What it has of its own is delivered while the run waits for the client's silence.
 */
function guessed(mailbox: Mailbox, { queued, inflight }: SessionView, isFirst: boolean, now: number): Mailbox {
  const copies = [...mailbox.out.values()];
  const isElsewhere = (copy: Copy): boolean => isPerhapsWithAnother(copy, now);
  let missing = Math.max(0, copies.filter((copy) => !isElsewhere(copy)).length - queued - inflight);
  const out = marked(mailbox.out, (copy) => !isElsewhere(copy) && missing-- > 0);
  const begins = isBeginning(mailbox) && !(isFirst && isUntouched(mailbox) && queued + inflight === 0);
  const isInDoubt = begins || [...out.values()].some((copy) => copy.isMissing);
  return { ...mailbox, out, held: new Set(), doubtsBySilence: true, doubtUntil: isInDoubt ? now + SILENCE_MS : null };
}

/** EMQX gave what was sent for a shared subscription to any of its members. */
function isPerhapsWithAnother({ filter, sentAt }: Copy, now: number): boolean {
  return splitShare(filter).group !== null && now - sentAt < GROUP_LOST_MS;
}

/** A run that begins may find what was acknowledged a moment ago; one that goes on reads what is newer than that. */
function isBeginning({ runs, held }: Mailbox): boolean {
  return runs.some((run) => isAtStart(run) && (run.looks === 0 || held.size > 0));
}

/**
 * How long events take from EMQX to here at the moment: the newest subscription tells, since a client's events come one behind the other. A clock of ours that is
 * ahead makes it longer.
 */
function lagOf({ runs }: Mailbox, now: number): number {
  const lags = runs.filter((run) => isAtStart(run) && run.looks === 0).map(({ requestedAt }) => now - requestedAt);
  return lags.length === 0 ? 0 : Math.min(Math.max(0, Math.min(...lags)), MOST_LAG_MS);
}

/** Nothing that a run of it may send can have been acknowledged a moment ago. */
function isUntouched(mailbox: Mailbox): boolean {
  return mailbox.session?.isNew === true && mailbox.out.size === 0 && !hasOverlap(mailbox);
}
