import type { Drop } from '../../lanes/jobs';
import { matches, splitShare } from '../../mqtt/topic';
import { acknowledged, inFlightCount, type Window } from './window';

/**
 * Deliveries of ours that EMQX gave up for the client (delivery.dropped): its session queue was full, or they expired there. Pure
 * functions on the client's window. They are sent again as the client takes other messages: at once they would only be dropped again.
 */
/** The same delivery would be dropped again: it has expired, or this client can't have it. Others may. */
const FOR_GOOD = new Set(['expired', 'too_large', 'no_local']);

/** Then the client is left alone until it subscribes again: about five minutes after the last acknowledgement. */
const MAX_ROUNDS = 5;

/** Only what is in flight counts: an event may come twice, or after the acknowledgement of another copy. */
export function givenUp(window: Window, drops: readonly Drop[]): { window: Window; ids: string[] } {
  const own = drops.filter(({ id }, i) => window.inFlight[id] !== undefined && drops.findIndex((each) => each.id === id) === i);
  if (own.length === 0) return { window, ids: [] };
  const inFlight = { ...window.inFlight };
  for (const { id } of own) delete inFlight[id];
  const again = own.filter(({ reason, qos }) => !FOR_GOOD.has(reason) && qos > 0).map(({ clientid, topic, id, qos }) => ({ clientid, topic, id, qos }));
  const refs = [...(window.dropped?.refs ?? []), ...again].sort((a, b) => (a.id < b.id ? -1 : 1));
  return { window: { ...window, inFlight, dropped: { refs, rounds: window.dropped?.rounds ?? 0 } }, ids: own.map(({ id }) => id) };
}

/**
 * Nothing is in flight, so no acknowledgement will ask for more: somebody has to look again.
 * @returns the window, and in which round; null: no look, either none is needed or it was tried often enough (then all is forgotten).
 */
export function nextRound(window: Window): { window: Window; round: number | null } {
  const { runs, dropped } = window;
  if (inFlightCount(window) > 0 || dropped === undefined) return { window, round: null };
  if (runs.length === 0 && dropped.refs.length === 0) return { window, round: null };
  if (dropped.rounds >= MAX_ROUNDS) return { window: { ...withoutDropped(window), runs: [] }, round: null };
  return { window: { ...window, dropped: { ...dropped, rounds: dropped.rounds + 1 } }, round: dropped.rounds };
}

/** The client acknowledged deliveries of ours: it takes messages again. `read` it has in some other way, too. */
export function takenAgain(window: Window, ids: readonly string[], read: readonly string[] = ids): Window {
  const moved = acknowledged(window, ids);
  if (moved.dropped === undefined) return moved;
  const refs = moved.dropped.refs.filter(({ id }) => !read.includes(id));
  return refs.length === 0 ? withoutDropped(moved) : { ...moved, dropped: { refs, rounds: 0 } };
}

/** Takes one off the list. */
export function settled(window: Window, id: string): Window {
  if (window.dropped === undefined) return window;
  const { refs, rounds } = window.dropped;
  return { ...window, dropped: { refs: refs.filter((ref) => ref.id !== id), rounds } };
}

/** The client subscribed: its run reads what matches the filter again, in its place. */
export function readAgain(window: Window, filter: string): Window {
  if (window.dropped === undefined) return window;
  const refs = window.dropped.refs.filter(({ topic }) => !matches(splitShare(filter).filter, topic));
  return refs.length === 0 ? withoutDropped(window) : { ...window, dropped: { refs, rounds: 0 } };
}

export function withoutDropped({ dropped: _, ...window }: Window): Window {
  return window;
}
