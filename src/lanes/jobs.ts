import type { MessageRef, QoS, WireMessage } from '../mqtt/message';
import type { Subscription } from '../stores/store';
import type { Tails } from './sequence';

/**
 * What the queue's jobs carry, as JSON. The message lane has what is written to the store, a client lane everything that happens to a consumer (a client, or
 * a shared group in pubsub mode) in its order; each history has a lane of its own.
 */

/** Something to write to the store, in a message lane. */
export type MessageEvent =
  | {
      readonly kind: 'publish';
      readonly message: WireMessage;
      /** It is kept as its topic's retained message (or deletes it), too or in place of being stored until somebody acknowledges it. */
      readonly retained?: 'too' | 'only';
    }
  /** In queue mode: somebody has acknowledged the stored message. */
  | { readonly kind: 'ack'; readonly id: string; readonly topic: string; readonly clientid: string };

/** Send the client what is stored for the filter. */
export interface DeliveryRequest {
  readonly clientid: string;
  /** The topic filter as subscribed, `$share/{group}/` included. */
  readonly filter: string;
  readonly qos: QoS;
  /** When it subscribed (ms, EMQX's clock): what was published later reaches it without us. */
  readonly at: number;
  /** Whose position is read and whose mailbox counts: a shared group's in pubsub mode. Absent: the client's own. */
  readonly consumer?: string;
  /** An operator asked for it and may want to know what came of it (outcomes.ts: the id of a part). Absent: nobody did. */
  readonly requestId?: string;
}

/** What a client did, or an operator decided for it. Times are EMQX's (an operator's: ours), in ms. */
export type ClientChange = { readonly clientid: string; readonly at: number } & (
  | {
      readonly kind: 'connected';
      readonly node: string | null;
      /** The connection began with a clean session; null: unknown. */
      readonly cleanStart?: boolean | null;
      /** How long the session outlives the connection (ms); null: unknown. */
      readonly expiryMs?: number | null;
      /** The event tells of the session alone: neither the client's state is kept nor are its subscriptions made again. */
      readonly sessionOnly?: boolean;
      /** What EMQX puts before the client's topic filters; null: nothing; absent: unknown. */
      readonly mountpoint?: string | null;
    }
  | { readonly kind: 'disconnected'; readonly node: string | null; readonly connectedAt: number | null }
  | { readonly kind: 'subscribed'; readonly filter: string; readonly qos: QoS }
  | { readonly kind: 'unsubscribed'; readonly filter: string }
  /** Exactly these, from now on. */
  | { readonly kind: 'assigned'; readonly subscriptions: readonly Subscription[] }
  /** null: all. */
  | { readonly kind: 'withdrawn'; readonly filters: readonly string[] | null }
);

/** A client acknowledged a message, in the mailbox that was sent it, and in pubsub mode in its own, which finds out who has read it. */
export interface Acknowledged {
  readonly kind: 'acked';
  readonly clientid: string;
  /** Of the stored message. */
  readonly id: string;
  readonly topic: string;
  /** It was a delivery of ours, sent for this mailbox or for the group. */
  readonly ours: boolean;
  /** In pubsub mode: the copy was sent for a group, not for the client itself. */
  readonly isOfGroup?: boolean;
  /** In pubsub mode: the client has read the message (as an event; of a group, see below). */
  readonly isRead?: boolean;
  /** In pubsub mode, of a group: it has read the message. `filters`: its wildcard filters that match. */
  readonly group?: { readonly consumer: string; readonly sure: boolean; readonly filters: readonly string[] };
}

/** EMQX gave up a delivery of ours. */
export interface Dropped extends MessageRef {
  readonly kind: 'dropped';
  readonly clientid: string;
  /** EMQX's id of the copy; null: the event did not say. */
  readonly copyId: string | null;
  /** EMQX's: queue_full, expired, too_large, no_local, ... */
  readonly reason: string;
  /** It was sent for a group in pubsub mode (this is its mailbox's key), of which the client may be a member. */
  readonly group?: string;
}

/** A message that is about to be stored, and a consumer whose position may have passed it. */
export interface Late extends MessageRef {
  readonly kind: 'late';
  readonly consumer: string;
}

/** What happens to a mailbox. `to`: the mailbox's key (consumer.ts). */
export type MailEvent = { readonly to: string } & (
  | { readonly kind: 'change'; readonly change: ClientChange }
  | { readonly kind: 'deliver'; readonly request: DeliveryRequest }
  /** A member of a group (in pubsub mode) has unsubscribed. */
  | { readonly kind: 'left'; readonly clientid: string; readonly filter: string; readonly at: number; readonly consumer: string }
  | Acknowledged
  | Dropped
  | Late
  /** A time has come that the mailbox waits for. */
  | { readonly kind: 'wake' }
);

/** What goes into the queue for an event. */
export type Item = { readonly write: MessageEvent } | { readonly mail: MailEvent };

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

/** What happens to the mailboxes of a client lane, in this order. */
export type MailJob = Job<'mail', { readonly events: readonly MailEvent[] }>;

/** They run in one client lane, one at a time. */
export type RetainedJob =
  /** Publish a page of retained messages back; behind the writes. */
  | Job<'restore', Behind & RestoreStep>
  /** A restored message was overtaken by a publish that the server heard of too late; behind the writes. */
  | Job<'reconcile', Behind & { readonly topics: readonly string[] }>;

export type ClientJob = MailJob | RetainedJob;

export function isClientJob(job: LaneJob): boolean {
  return (job.name === 'mail' && Array.isArray(job.data.events)) || job.name === 'restore' || job.name === 'reconcile';
}

export function isMessageJob({ name, data }: LaneJob): boolean {
  return name === 'events' && Array.isArray(data.events);
}

export function isMailJob(job: ClientJob): job is MailJob {
  return job.name === 'mail';
}

export interface RestoreStep {
  readonly filter: string;
  /** Only what was published before (ms, EMQX's clock), and whose policy says restore; null: an operator wants all. */
  readonly before: number | null;
  /** Topics up to this one are done. */
  readonly after: string;
  /** An operator asked for it and may want to know what came of it (outcomes.ts). Absent: nobody did. */
  readonly requestId?: string;
  /** What was done up to `after`; absent: nothing. */
  readonly so?: RestoreCounts;
}

/** Retained messages that were published, topics for which EMQX had one, and messages that EMQX did not retain. */
export interface RestoreCounts {
  readonly published: number;
  readonly kept: number;
  readonly failed: number;
}

/** Stored messages, to be appended to a history. */
export type HistoryJob = Job<'history', { readonly events: readonly WireMessage[] }>;
