import type { DeliveryRequest } from '../../lanes/jobs';
import { splitShare } from '../../mqtt/topic';
import { intersection } from '../../policies/overlap';
import { isGroup, type Mailbox } from './mailbox';

const MOST_FILTERS = 64;
/**
 * Times that differ by less than this (ms) count as the same moment, because the clocks of EMQX's nodes and of the
 * server differ a little. The server's clock is used when an operator asks for a delivery.
 */
export const SAME_MOMENT_MS = 1_000;

/**
 * Whether EMQX must be asked first, because it may hold messages of its own for the client that the filter matches
 * (promise 19). That is possible if the session may be older than its connection, or if another subscription of this
 * connection overlaps with the filter. A client that has just begun its session and subscribes for the first time
 * causes no question.
 */
export function needsAnswer(mailbox: Mailbox, { filter, at }: DeliveryRequest): boolean {
  if (isGroup(mailbox)) return false;
  const { session } = mailbox;
  if (session === null || !session.connected || session.isNew !== true || at < session.connectedAt) return true;
  return session.filters.length >= MOST_FILTERS || session.filters.some((other) => meet(filter, other));
}

/** Whether the session may be a durable one: it outlives its connection. Only EMQX's REST API tells. */
export function mayBeDurable({ session }: Mailbox): boolean {
  return session !== null && (session.isDurable ?? null) === null && session.expiryMs !== null && session.expiryMs > 0;
}

/** Whether two subscriptions of this connection can both match one message, also if one of them has ended. */
export function hasOverlap(mailbox: Mailbox): boolean {
  const { session } = mailbox;
  return session !== null && (doMeet(session.filters) || hadBefore(mailbox, session.connectedAt));
}

/** The same, of the connection that began at `connectedAt`, before the mailbox has learnt of it. */
export function hadOverlap(mailbox: Mailbox, connectedAt: number): boolean {
  return doMeet(filtersSince(mailbox, connectedAt)) || hadBefore(mailbox, connectedAt);
}

/** Whether a run's subscription is not the first of its filter in that connection. */
function hadBefore({ runs }: Mailbox, connectedAt: number): boolean {
  return runs.some(({ hadAt }) => hadAt !== undefined && hadAt >= connectedAt - SAME_MOMENT_MS);
}

/** Whether two of the filters can match the same topic. */
function doMeet(filters: readonly string[]): boolean {
  return filters.length >= MOST_FILTERS || filters.some((filter, i) => filters.slice(i + 1).some((other) => meet(filter, other)));
}

/**
 * The topic filters that were subscribed since `connectedAt`, including those that were unsubscribed again. Their
 * events may arrive before the event of the connection.
 */
export function filtersSince({ runs, left }: Mailbox, connectedAt: number): string[] {
  const times = [...runs.map(({ filter, requestedAt: at }) => ({ filter, at })), ...left];
  return [...new Set(times.filter(({ at }) => at >= connectedAt).map(({ filter }) => filter))].slice(0, MOST_FILTERS);
}

export function rememberFilter(mailbox: Mailbox, { filter }: DeliveryRequest): Mailbox {
  const { session } = mailbox;
  if (session === null || session.filters.includes(filter) || session.filters.length >= MOST_FILTERS) return mailbox;
  return { ...mailbox, session: { ...session, filters: [...session.filters, filter] } };
}

function meet(a: string, b: string): boolean {
  return intersection(splitShare(a).filter, splitShare(b).filter) !== null;
}
