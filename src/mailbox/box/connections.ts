import { kept, type Of, type Stepped } from './fact';
import { filtersSince, hasOverlap } from './freshness';
import { voided } from './losses';
import type { Mailbox } from './mailbox';

/** How the beginning and the end of a connection change a mailbox. */

/**
 * A clean session holds nothing of the session before it. A resumed session may hold all of it, so EMQX is asked if the
 * mailbox has copies or runs.
 */
export function connected(mailbox: Mailbox, { at, cleanStart, expiryMs }: Of<'connected'>, now: number): Stepped {
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

/** The event of a connection's end may arrive after the event of the next connection. Such an event is ignored. */
export function disconnected(mailbox: Mailbox, { at, connectedAt }: Of<'disconnected'>, now: number): Stepped {
  const { session } = mailbox;
  if (session !== null && (connectedAt ?? at) < session.connectedAt) return kept(mailbox);
  const isKnown = session !== null && (connectedAt ?? session.connectedAt) === session.connectedAt;
  // If no event told of the connection's beginning, the server does not know whether the session outlives it.
  const known = isKnown
    ? session
    : { connectedAt: connectedAt ?? at, isNew: null, expiryMs: null, isTold: true, filters: session?.filters ?? [] };
  // A client that has subscribed after this disconnect is connected again. The event of that connection has not arrived
  // yet, or never will.
  const isBack = mailbox.runs.some(({ requestedAt }) => requestedAt > at);
  if (isBack) return kept({ ...mailbox, session: presentAgain({ ...known, connected: false }), askAt: now });
  const next: Mailbox = { ...mailbox, session: { ...known, connected: false }, askAt: null, doubtUntil: null };
  return known.expiryMs === 0 ? voided(next, at + 1) : kept(next);
}

/**
 * A client that subscribes is connected. If the mailbox says otherwise, another connection has begun and no event has
 * told of it.
 */
export function presentAgain(session: Mailbox['session']): Mailbox['session'] {
  return session === null || session.connected ? session : { ...session, connected: true, isNew: null, isTold: false };
}
