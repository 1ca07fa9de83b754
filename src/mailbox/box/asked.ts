import type { HeldView, SessionView } from '../../emqx/api';
import { splitShare, stripInbox } from '../../mqtt/topic';
import { GROUP_LOST_MS, ON_ITS_WAY_MS, SILENCE_MS } from '../times';
import type { Of, Stepped } from './fact';
import { filtersSince, hasOverlap, SAME_MOMENT_MS } from './freshness';
import { isAtStart, marked, voided } from './losses';
import { MOST_DOUBLINGS, type Copy, type Mailbox, type Run, type Session } from './mailbox';

/** When a connection begins a session, EMQX notes the session at most this long (ms) before it notes the connection. */
const BIRTH_MS = 50;
/** While EMQX holds more messages of its own than this for the client, the server asks again after a pause. */
const MUCH = 50;
const FIRST_PAUSE_MS = 1_000;
/** The lag of events is cut to this limit (ms). A greater one comes from a wrong clock. */
export const MOST_LAG_MS = 10_000;
/** After this many questions the mailbox accepts an answer about an older connection. */
const MOST_STALE = 3;
const REST_PUBLISHER = 'http_api';

/** Applies EMQX's answer to what it holds for the client. */
export function asked(mailbox: Mailbox, { at, session: view, held }: Of<'asked'>, now: number): Stepped {
  const asks = mailbox.asks + 1;
  if (isStale(view, at, mailbox) || isTooEarly(view, at, mailbox))
    return askedInVain({ ...mailbox, asks, askedAt: Math.max(mailbox.askedAt, now) }, now);
  if (view === null) {
    const session = mailbox.session === null ? null : { ...mailbox.session, connected: false };
    return voided({ ...mailbox, session, asks, askedAt: now }, Infinity);
  }
  const session = sessionOf(mailbox, view);
  const before: Mailbox = { ...mailbox, session, asks, askedAt: now, askAt: null };
  // A new session has neither the copies nor the subscriptions of the session before it.
  const isNewer = session.isNew === true && (mailbox.session?.isNew !== true || mailbox.session.connectedAt < view.connectedAt);
  const isOver = isNewer || isYounger(view, mailbox);
  const { mailbox: next, freed } = isOver
    ? voided(before, view.createdAt - SAME_MOMENT_MS, Math.min(view.createdAt, view.connectedAt))
    : { mailbox: before, freed: [] };
  if (!session.connected) return { mailbox: { ...next, doubtUntil: null }, freed };
  if (view.durable) return ofDurable(next, freed);
  if (held === null) return { mailbox: { ...next, held: new Set() }, freed };
  // `isFirst` is false when the mailbox knew the new session before. Then EMQX is asked because of another subscription
  // of this session. The other subscription may have the same filter, so acknowledgements may be on their way.
  const isFirst = mailbox.session?.isNew !== true || mailbox.session.isDurable === null || mailbox.session.connectedAt < view.connectedAt;
  return { mailbox: held.kind === 'list' ? compared(next, held, isFirst, now) : guessed(next, view, isFirst, now), freed };
}

/**
 * Whether the connection began the session, rather than resumed it. If a resumed session is taken for a new one, the
 * client gets messages twice that EMQX still holds. If a new session is taken for a resumed one, its delivery begins
 * about 1 s later.
 */
export function beganSession({ createdAt, connectedAt }: SessionView): boolean {
  return createdAt >= connectedAt - BIRTH_MS;
}

/** Whether the session began after what the mailbox knows. Then no event told of the connection that began it. */
function isYounger({ createdAt, connectedAt }: SessionView, { session, runs }: Mailbox): boolean {
  const began = Math.min(createdAt, connectedAt);
  const isOlder = ({ at, requestedAt }: Run): boolean => at < began && (requestedAt >= began || requestedAt < createdAt - SAME_MOMENT_MS);
  return (session !== null && session.connectedAt < began - SAME_MOMENT_MS) || runs.some(isOlder);
}

/**
 * Whether EMQX's answer is older than what the mailbox knows: something was sent or acknowledged after the question, or
 * EMQX was asked again, or the answer is about an older connection. This process may have stood still while it had the
 * answer, or EMQX may not have noted the new connection yet. Only MOST_STALE answers are ignored, because a clock may
 * have been set back.
 */
function isStale(view: SessionView | null, at: number, { session, asks, movedAt, askedAt }: Mailbox): boolean {
  const isOfBefore = view !== null && session !== null && view.connectedAt < session.connectedAt - SAME_MOMENT_MS;
  return (isOfBefore || movedAt > at || askedAt > at) && asks < MOST_STALE;
}

/**
 * Whether EMQX may not have noted the connection yet that its event told of. Its REST API may then show the client's
 * last connection, or none.
 */
function isTooEarly(view: SessionView | null, at: number, { session, asks }: Mailbox): boolean {
  if (session === null || !session.isTold || !session.connected || asks >= MOST_STALE) return false;
  return view === null ? at < session.connectedAt + SAME_MOMENT_MS : !view.connected && view.connectedAt < session.connectedAt;
}

function askedInVain(mailbox: Mailbox, now: number): Stepped {
  const askAt = now + FIRST_PAUSE_MS * 2 ** (mailbox.asks - 1);
  return { mailbox: { ...mailbox, out: marked(mailbox.out, () => false), askAt, doubtUntil: askAt }, freed: [] };
}

function sessionOf(mailbox: Mailbox, view: SessionView): Session {
  const { session: known } = mailbox;
  const { connectedAt, createdAt, connected, persistent } = view;
  const isSame = known !== null && known.connectedAt >= connectedAt;
  const isNew = beganSession(view);
  // A session that was resumed within BIRTH_MS counts as a new one, so that its first connection's filters belong to it.
  const earlier = isSame && isNew ? filtersSince(mailbox, createdAt).filter((filter) => !known.filters.includes(filter)) : [];
  return {
    connectedAt: isSame ? known.connectedAt : connectedAt,
    connected,
    isNew,
    expiryMs: isSame && known.expiryMs !== null ? known.expiryMs : persistent ? null : 0,
    isTold: isSame && known.isTold,
    filters: isSame ? [...known.filters, ...earlier] : filtersSince(mailbox, connectedAt - SAME_MOMENT_MS),
    isDurable: view.durable,
  };
}

/**
 * EMQX reports no acknowledgements of a durable session, so the mailbox waits for none. Copies that were sent before
 * this was known are still stored, and are sent once more.
 */
function ofDurable(mailbox: Mailbox, freed: readonly string[]): Stepped {
  return {
    mailbox: { ...mailbox, out: new Map(), again: [], held: new Set(), budget: 0, retryAt: null, doubtUntil: null },
    freed: [...freed, ...mailbox.out.keys()],
  };
}

type List = Extract<HeldView, { kind: 'list' }>;

/**
 * Compares the copies with EMQX's list. A copy that is not in the list may have been acknowledged while the event is on
 * its way, so it counts as lost only at `doubtUntil`. Example: the client acknowledges m1, EMQX answers 5 ms later
 * without m1, and message.acked arrives after 60 ms.
 */
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
 * EMQX before 5.7 has no list, but tells how many messages it holds. If the mailbox has more copies than that, the
 * oldest are marked as missing, because EMQX drops the oldest first and clients acknowledge the oldest first. EMQX
 * delivers its own messages while the run waits for the client's silence.
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

/**
 * Whether another member of a shared subscription may hold the copy, because EMQX gives such a message to any member.
 */
function isPerhapsWithAnother({ filter, sentAt }: Copy, now: number): boolean {
  return splitShare(filter).group !== null && now - sentAt < GROUP_LOST_MS;
}

/**
 * Whether a run is at its start, where it may read messages that were acknowledged a moment ago. A run that is further
 * on reads newer messages.
 */
function isBeginning({ runs, held }: Mailbox): boolean {
  return runs.some((run) => isAtStart(run) && (run.looks === 0 || held.size > 0));
}

/**
 * How long events take from EMQX to the server at the moment (ms). The newest subscription shows it, because the events
 * of one client arrive one after the other. If the server's clock is ahead of EMQX's, the result is too long.
 */
function lagOf({ runs }: Mailbox, now: number): number {
  const lags = runs.filter((run) => isAtStart(run) && run.looks === 0).map(({ requestedAt }) => now - requestedAt);
  return lags.length === 0 ? 0 : Math.min(Math.max(0, Math.min(...lags)), MOST_LAG_MS);
}

/**
 * Whether no run can send a message that was acknowledged a moment ago: the session is new, no copy is out, and no two
 * subscriptions overlap.
 */
function isUntouched(mailbox: Mailbox): boolean {
  return mailbox.session?.isNew === true && mailbox.out.size === 0 && !hasOverlap(mailbox);
}
