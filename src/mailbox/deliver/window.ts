import type { DeliveryRequest, DroppedRef } from '../../lanes/jobs';
import { STORM_MS } from '../times';
import { splitShare } from '../../mqtt/topic';

/**
 * What is on its way to one client (in pubsub mode to a consumer: a client or a shared group), as JSON in the shared state: pure functions,
 * no clock. Messages of a run are sent while there is room in the window, the next ones as acks arrive (promise 10). Nothing here outlives
 * the client for long: the state has a ttl.
 */
export interface Window {
  /** What still has to be read and sent, in order of request. One run per topic filter; of a group, one for each of the last members. */
  readonly runs: readonly Run[];
  /** Sent and not acknowledged, by message id: when (ms, our clock). */
  readonly inFlight: Readonly<Record<string, number>>;
  /** What EMQX gave up (drops.ts). */
  readonly dropped?: Dropped;
  /** Nothing is sent before (ms, our clock): a batch went out that nobody acknowledges (pace.ts). */
  readonly pausedUntil?: number;
  /** When the client last acknowledged something from before its subscription (ms, our clock). */
  readonly movedAt?: number;
  /** By topic filter: what a subscription was sent under a policy with fetch.limit; later looks for it go on counting. */
  readonly fetched?: Readonly<Record<string, Fetched>>;
}

/** Deliveries of ours that EMQX gave up for the client (drops.ts). */
export interface Dropped {
  /** To be sent again, before anything else. */
  readonly refs: readonly DroppedRef[];
  /** How often we tried since the client last acknowledged something. */
  readonly rounds: number;
}

export interface Fetched {
  /** Of the subscription. */
  readonly at: number;
  readonly sent: number;
  /** Of these, those that were in flight when it was noted last. */
  readonly ids?: readonly string[];
}

export interface Run extends DeliveryRequest {
  /** How far it has read: everything up to this topic and id was looked at. */
  readonly topic: string;
  readonly id: string;
  /** How many it has sent (policy fetch.limit). */
  readonly sent: number;
  /** The window of the policy it reads under. */
  readonly window: number;
  /** EMQX sends the topic's retained message itself on this subscription; a later look finds out whether it was acknowledged. */
  readonly leaveRetained: boolean;
}

/** Of a group, whose runs are kept for one filter. */
const MOST_MEMBERS = 8;

export const EMPTY: Window = { runs: [], inFlight: {} };

/**
 * The client subscribed: read the filter from its start.
 * @returns the window and the ids in flight that it no longer counts on, to be sent again.
 */
export function subscribed(window: Window, request: DeliveryRequest, toleranceMs: number, leaveRetained = false): { window: Window; lost: string[] } {
  const lost = Object.keys(window.inFlight).filter((id) => (window.inFlight[id] ?? 0) < request.at - toleranceMs);
  const gone = new Set(lost);
  const ofFilter = window.runs.filter(({ filter }) => filter === request.filter);
  // A group's run goes on with another member when the newest is gone.
  const before = ofFilter.find(({ clientid, consumer }) => consumer === undefined || clientid === request.clientid);
  const members = ofFilter.filter((run) => run !== before).slice(0, MOST_MEMBERS - 1);
  const others = lost.length === 0 ? members : members.map((run) => ({ ...run, topic: '', id: '' }));
  // A late recheck of an earlier subscription must not cut short what a newer one asked for.
  const at = Math.max(request.at, before?.at ?? 0);
  const fetched = withoutLost(window.fetched, gone);
  return {
    window: {
      ...window,
      ...(fetched !== undefined && { fetched }),
      runs: [
        ...window.runs.filter((run) => !ofFilter.includes(run)),
        { ...request, at, topic: '', id: '', sent: fetchedBefore(fetched, request), window: before?.window ?? 1, leaveRetained },
        ...others,
      ],
      inFlight: Object.fromEntries(Object.entries(window.inFlight).filter(([id]) => !gone.has(id))),
    },
    lost,
  };
}

export function acknowledged(window: Window, ids: readonly string[]): Window {
  const inFlight = { ...window.inFlight };
  for (const id of ids) delete inFlight[id];
  return { ...window, inFlight };
}

export function sent(window: Window, ids: readonly string[], at: number): Window {
  return { ...window, inFlight: { ...window.inFlight, ...Object.fromEntries(ids.map((id) => [id, at])) } };
}

/** Replaces the first run by itself further on, or drops it (null). */
export function advanced(window: Window, run: Run | null): Window {
  const [, ...others] = window.runs;
  return { ...window, runs: run === null ? others : [run, ...others] };
}

/** Sent before the time and still not acknowledged. */
export function hasSentBefore(window: Window, at: number): boolean {
  return Object.values(window.inFlight).some((sentAt) => sentAt < at);
}

/** A look for the same subscription, or for another of its storm, goes on counting. */
function fetchedBefore(fetched: Window['fetched'], request: DeliveryRequest): number {
  const before = fetched?.[request.filter];
  return before === undefined || request.at >= before.at + STORM_MS ? 0 : before.sent;
}

/** What has to be sent again counts once, for the filter that it was sent for. */
function withoutLost(fetched: Window['fetched'], lost: ReadonlySet<string>): Window['fetched'] {
  if (fetched === undefined || lost.size === 0) return fetched;
  const without = ({ at, sent, ids = [] }: Fetched): Fetched => {
    const left = ids.filter((id) => !lost.has(id));
    return { at, sent: sent - (ids.length - left.length), ids: left };
  };
  return Object.fromEntries(Object.entries(fetched).map(([filter, each]) => [filter, without(each)]));
}

/** Notes what the run has sent, and these last. */
export function fetched(window: Window, { filter, at, sent }: Run, ids: readonly string[]): Window {
  const before = (window.fetched?.[filter]?.ids ?? []).filter((id) => window.inFlight[id] !== undefined && !ids.includes(id));
  return { ...window, fetched: { ...window.fetched, [filter]: { at, sent, ids: [...before, ...ids] } } };
}

export function requestOf({ clientid, filter, qos, at, consumer }: Run): DeliveryRequest {
  return { clientid, filter, qos, at, ...(consumer !== undefined && { consumer }) };
}

/** In queue mode: EMQX gives what is sent to any member, the window is that of the member whose subscription asked for it. */
export function isForGroup({ filter, consumer }: Run): boolean {
  return consumer === undefined && splitShare(filter).group !== null;
}

/**
 * Something sent before the subscription is not acknowledged. EMQX may still have it in a persistent session and deliver it itself, or
 * it is lost with a clean one; what comes behind it waits until acknowledgements or their absence tell (promises 6 and 9). Not in a
 * shared group: its members' subscriptions say nothing about each other, and there is no order among them.
 */
export function isHeld(window: Window): boolean {
  return hasSentBefore(window, Math.max(...window.runs.filter(({ consumer }) => consumer === undefined).map(({ at }) => at)));
}

/** Half of the window is free: fewer, larger batches than refilling at every ack. */
export function wantsMore(window: Window): boolean {
  const run = window.runs[0];
  return run !== undefined && inFlightCount(window) <= run.window / 2;
}

export function isEmpty(window: Window): boolean {
  return window.runs.length === 0 && inFlightCount(window) === 0 && (window.dropped?.refs.length ?? 0) === 0 && window.fetched === undefined;
}

export function inFlightCount(window: Window): number {
  return Object.keys(window.inFlight).length;
}
