import type { MessageRef, QoS, WireMessage } from '../mqtt/message';
import type { Subscription } from '../stores/store';
import type { Tails } from './sequence';

/**
 * What the queue's jobs carry, as JSON. A message lane keeps the order of everything that happens to a topic, a client lane the order of
 * everything that is sent to a client; each history has a lane of its own.
 */

/** Something to write to the store, in a message lane. */
export type MessageEvent =
  | {
      readonly kind: 'publish';
      readonly message: WireMessage;
      /** It is kept as its topic's retained message (or deletes it), too or in place of being stored until somebody acknowledges it. */
      readonly retained?: 'too' | 'only';
    }
  | {
      readonly kind: 'ack';
      /** Of the stored message. */
      readonly id: string;
      readonly topic: string;
      readonly clientid: string;
      /** It was a delivery of ours (its signature was right): the client's window moves. */
      readonly ours: boolean;
    };

/** Send the client what is stored for the filter. */
export interface DeliveryRequest {
  readonly clientid: string;
  /** The topic filter as subscribed, `$share/{group}/` included. */
  readonly filter: string;
  readonly qos: QoS;
  /** When it subscribed (ms, EMQX's clock): what was published later reaches it without us. */
  readonly at: number;
  /** Whose position is read and whose window counts: a shared group's in pubsub mode. Absent: the client's own. */
  readonly consumer?: string;
}

/** What a client did, or an operator decided for it, in a client lane. Times are EMQX's (an operator's: ours), in ms. */
export type ClientChange = { readonly clientid: string; readonly at: number } & (
  | { readonly kind: 'connected'; readonly node: string | null }
  | { readonly kind: 'disconnected'; readonly node: string | null; readonly connectedAt: number | null }
  | { readonly kind: 'subscribed'; readonly filter: string; readonly qos: QoS }
  | { readonly kind: 'unsubscribed'; readonly filter: string }
  /** Exactly these, from now on. */
  | { readonly kind: 'assigned'; readonly subscriptions: readonly Subscription[] }
  /** null: all. */
  | { readonly kind: 'withdrawn'; readonly filters: readonly string[] | null }
);

/** What goes into the queue for an event. */
export type Item =
  | { readonly write: MessageEvent }
  | { readonly deliver: DeliveryRequest }
  | { readonly change: ClientChange }
  | { readonly drop: ClientDrop };

export interface DroppedRef extends MessageRef {
  readonly clientid: string;
  /** Of the delivery. */
  readonly qos: QoS;
}

export interface Drop extends DroppedRef {
  /** EMQX's: queue_full, expired, too_large, no_local, ... */
  readonly reason: string;
}

/** A delivery of ours that EMQX gave up for the client. */
export interface ClientDrop extends Drop {
  /** The group that it was sent for, found out in the client's own lane. Absent: the client itself. */
  readonly consumer?: string;
}

/** An acknowledged delivery of ours; in pubsub mode any acknowledgement. */
export interface Progress {
  readonly clientid: string;
  readonly id: string;
  /** In pubsub mode, as all that follows: what it read. */
  readonly topic?: string;
  readonly ours?: boolean;
  /** The group that it read for, found out in the client's own lane. */
  readonly consumer?: string;
  readonly filters?: readonly string[];
  /** false: it may have read for itself, or for another group. */
  readonly sure?: boolean;
}

/** A message that is about to be stored, and a consumer whose position may have passed it. */
export interface Late {
  readonly consumer: string;
  readonly topic: string;
  readonly id: string;
}

/** The time to go on with a consumer's window. */
export interface Resume {
  readonly consumer: string;
  /** Of the pause that it ends (ms, our clock); absent: none. */
  readonly until?: number;
}

/** What every lane's jobs have in common. */
export interface LaneJob {
  readonly name: string;
  readonly data: Common & { readonly events?: readonly unknown[] };
}

interface Common {
  /** About how large the job is; absent: it is small. */
  readonly bytes?: number;
  /** How often it was tried by itself in vain (Consumer). */
  readonly tries?: number;
}

export interface MessageJob extends LaneJob {
  readonly name: 'events';
  readonly data: Common & { readonly events: readonly MessageEvent[] };
}

/** Of a job that must not be done before all writes are that were accepted before it (promise 4): how far it has waited (gate.ts). */
interface Behind extends Common {
  /** The lanes that it waits for, and how far; absent: it is seen for the first time. */
  readonly behind?: Tails;
  /** How often it was put off. */
  readonly waits?: number;
}

type Job<Name extends string, Data> = { readonly name: Name; readonly data: Common & Data };

/** What came from the door for the clients of a lane in one flush, done in this order. */
export interface ClientEvents {
  readonly changes: readonly ClientChange[];
  readonly drops: readonly ClientDrop[];
  readonly requests: readonly DeliveryRequest[];
}

export type ClientJob =
  | Job<'clients', ClientEvents>
  /** Clients subscribed; behind the writes. `turn`: it has waited in the client lane, too, for what was acknowledged before. */
  | Job<'subscribed', Behind & { readonly requests: readonly DeliveryRequest[]; readonly turn?: boolean }>
  /** Look again; behind the writes. */
  | Job<'recheck', Behind & { readonly requests: readonly DeliveryRequest[]; readonly turn?: boolean }>
  /** A group's delivery, behind the acknowledgements that its members have in their own lanes. */
  | Job<'gathered', Behind & { readonly requests: readonly DeliveryRequest[]; readonly then: 'subscribed' | 'recheck' }>
  | Job<'late', { readonly late: readonly Late[] }>
  /** What a position covers need not be known one by one any more. */
  | Job<'forget', { readonly positions: readonly Omit<Late, 'id'>[] }>
  | Job<'progress', { readonly acks: readonly Progress[] }>
  | Job<'dropped', { readonly drops: readonly ClientDrop[] }>
  /** A pause is over: go on where the windows stand. */
  | Job<'resume', { readonly windows: readonly Resume[] }>
  | Job<'changes', { readonly changes: readonly ClientChange[] }>
  | RetainedJob;

/** All of them run in one client lane: one at a time in all processes. */
export type RetainedJob =
  /** Publish a page of retained messages back; behind the writes. */
  | Job<'restore', Behind & RestoreStep>
  /** A restored message was overtaken by a publish that the server heard of too late; behind the writes. */
  | Job<'reconcile', Behind & { readonly topics: readonly string[] }>;

/** Jobs that wait for other lanes. */
export type GatedJob = Extract<ClientJob, { name: 'subscribed' | 'recheck' | 'gathered' | 'restore' | 'reconcile' }>;

/** The jobs of a client lane that this version knows: another one may have left others. */
const CLIENT_JOBS: Readonly<Record<ClientJob['name'], true>> = {
  ...{ clients: true, subscribed: true, recheck: true, gathered: true, late: true, forget: true, progress: true, dropped: true },
  ...{ resume: true, changes: true, restore: true, reconcile: true },
};

export function isClientJob({ name }: LaneJob): boolean {
  return Object.hasOwn(CLIENT_JOBS, name);
}

export function isMessageJob({ name, data }: LaneJob): boolean {
  return name === 'events' && Array.isArray(data.events);
}

export function isRetainedJob(job: ClientJob): job is RetainedJob {
  return job.name === 'restore' || job.name === 'reconcile';
}

export interface RestoreStep {
  readonly filter: string;
  /** Only what was published before (ms, EMQX's clock), and whose policy says restore; null: an operator wants all. */
  readonly before: number | null;
  /** Topics up to this one are done. */
  readonly after: string;
}

/** Stored messages, to be appended to a history. */
export type HistoryJob = Job<'history', { readonly events: readonly WireMessage[] }>;
