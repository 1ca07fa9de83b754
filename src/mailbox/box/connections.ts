import { kept, type Of, type Stepped } from './fact';
import { filtersSince, hasOverlap } from './freshness';
import { voided } from './losses';
import type { Mailbox } from './mailbox';

/** What connections that begin and end do to a mailbox. */

/** A clean session has none of what the last one had; one that resumes may have all of it, and EMQX is asked when something depends on it. */
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

/** Its end may be told after the beginning of the next connection. */
export function disconnected(mailbox: Mailbox, { at, connectedAt }: Of<'disconnected'>, now: number): Stepped {
  const { session } = mailbox;
  if (session !== null && (connectedAt ?? at) < session.connectedAt) return kept(mailbox);
  const isKnown = session !== null && (connectedAt ?? session.connectedAt) === session.connectedAt;
  // Of a connection whose beginning was not told yet it is not known whether its session outlives it.
  const known = isKnown
    ? session
    : { connectedAt: connectedAt ?? at, isNew: null, expiryMs: null, isTold: true, filters: session?.filters ?? [] };
  // Who has subscribed since is there: nobody has told of that connection yet, or nobody will.
  const isBack = mailbox.runs.some(({ requestedAt }) => requestedAt > at);
  if (isBack) return kept({ ...mailbox, session: presentAgain({ ...known, connected: false }), askAt: now });
  const next: Mailbox = { ...mailbox, session: { ...known, connected: false }, askAt: null, doubtUntil: null };
  return known.expiryMs === 0 ? voided(next, at + 1) : kept(next);
}

/** Who subscribes is there: another connection began, and nobody has told of it. */
export function presentAgain(session: Mailbox['session']): Mailbox['session'] {
  return session === null || session.connected ? session : { ...session, connected: true, isNew: null, isTold: false };
}
