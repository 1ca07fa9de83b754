import type { MessageRef, QoS, WireMessage } from '../mqtt/message';
import type { Subscription } from '../stores/store';
import type { Tails } from './sequence';

/**
 * The data of the queue's jobs, as JSON. A message lane holds what is written to the store. A client lane holds
 * everything that happens to a consumer (a client, or in pubsub mode a shared group), in order. Each history has a lane
 * of its own.
 */

/** A write to the store, in a message lane. */
export type MessageEvent =
  | {
      readonly kind: 'publish';
      readonly message: WireMessage;
      /**
       * `too`: the message is stored, and also kept as its topic's retained message (or deletes it). `only`: it is not
       * stored for delivery.
       */
      readonly retained?: 'too' | 'only';
    }
  /** In queue mode: a client has acknowledged the stored message. */
  | { readonly kind: 'ack'; readonly id: string; readonly topic: string; readonly clientid: string };

/** A request to send the client the stored messages that match the filter. */
export interface DeliveryRequest {
  readonly clientid: string;
  /** The topic filter as subscribed, including `$share/{group}/`. */
  readonly filter: string;
  readonly qos: QoS;
  /** When the client subscribed (ms, EMQX's clock). EMQX itself delivers what was published later. */
  readonly at: number;
  /** The consumer whose mailbox and position are used: a shared group in pubsub mode. Absent: the client itself. */
  readonly consumer?: string;
  /** An operator asked for it and may want to know what came of it (outcomes.ts: the id of a part). Absent: nobody did. */
  readonly requestId?: string;
}

/**
 * Something that a client did, or that an operator decided for it. Times are EMQX's, an operator's are the server's
 * (ms).
 */
export type ClientChange = { readonly clientid: string; readonly at: number } & (
  | {
      readonly kind: 'connected';
      readonly node: string | null;
      /** Whether the connection began with a clean session; null if unknown. */
      readonly cleanStart?: boolean | null;
      /** How long the session outlives the connection (ms); null if unknown. */
      readonly expiryMs?: number | null;
      /**
       * True if the event tells only about the session: the client's state is not stored, and its subscriptions are not
       * made again.
       */
      readonly sessionOnly?: boolean;
      /** The prefix that EMQX puts before the client's topic filters. null: none; absent: unknown. */
      readonly mountpoint?: string | null;
    }
  | { readonly kind: 'disconnected'; readonly node: string | null; readonly connectedAt: number | null }
  | { readonly kind: 'subscribed'; readonly filter: string; readonly qos: QoS }
  | { readonly kind: 'unsubscribed'; readonly filter: string }
  /** These replace all stored subscriptions of the client. */
  | { readonly kind: 'assigned'; readonly subscriptions: readonly Subscription[] }
  /** null for all filters. */
  | { readonly kind: 'withdrawn'; readonly filters: readonly string[] | null }
);

/**
 * A client acknowledged a message. The event goes to the mailbox that was sent the message. In pubsub mode it goes to
 * the client's own mailbox, which finds out who has read the message.
 */
export interface Acknowledged {
  readonly kind: 'acked';
  readonly clientid: string;
  /** The id of the stored message. */
  readonly id: string;
  readonly topic: string;
  /** True for a copy that the server sent for this mailbox or for the group. */
  readonly ours: boolean;
  /** In pubsub mode: true if the copy was sent for a group, false if for the client itself. */
  readonly isOfGroup?: boolean;
  /** In pubsub mode: the client has read the message. `group` says the same of a group. */
  readonly isRead?: boolean;
  /**
   * In pubsub mode: the group has read the message. `filters` are its wildcard filters that match. `sure` is false if
   * another subscription may have brought the message.
   */
  readonly group?: { readonly consumer: string; readonly sure: boolean; readonly filters: readonly string[] };
}

/** EMQX has dropped a copy that the server sent. */
export interface Dropped extends MessageRef {
  readonly kind: 'dropped';
  readonly clientid: string;
  /** EMQX's id of the copy; null if the event does not say. */
  readonly copyId: string | null;
  /** EMQX's reason: queue_full, expired, too_large, no_local, ... */
  readonly reason: string;
  /**
   * The key of a group's mailbox (pubsub mode), if the copy was sent for a group of which the client may be a member.
   */
  readonly group?: string;
}

/** A message that was stored, and a consumer whose position may have passed it. */
export interface Late extends MessageRef {
  readonly kind: 'late';
  readonly consumer: string;
}

/** An event of a mailbox. `to` is the mailbox's key (mqtt/consumer.ts). */
export type MailEvent = { readonly to: string } & (
  | { readonly kind: 'change'; readonly change: ClientChange }
  | { readonly kind: 'deliver'; readonly request: DeliveryRequest }
  /** A member of a group (pubsub mode) has unsubscribed. */
  | { readonly kind: 'left'; readonly clientid: string; readonly filter: string; readonly at: number; readonly consumer: string }
  | Acknowledged
  | Dropped
  | Late
  /** A time has come that the mailbox was waiting for. */
  | { readonly kind: 'wake' }
);

/** What is put into the queue for an event. */
export type Item = { readonly write: MessageEvent } | { readonly mail: MailEvent };

/** What the jobs of all lanes have in common. */
export interface LaneJob {
  readonly name: string;
  readonly data: Common & { readonly events?: readonly unknown[] };
}

interface Common {
  /** The approximate size of the job; absent if it is small. */
  readonly bytes?: number;
  /** How often the job was tried by itself in vain (Consumer). */
  readonly tries?: number;
}

export interface MessageJob extends LaneJob {
  readonly name: 'events';
  readonly data: Common & { readonly events: readonly MessageEvent[] };
}

/**
 * A job that must wait for all writes that were accepted before it (promise 4), and how far it has waited (gate.ts).
 */
interface Behind extends Common {
  /** The lanes that the job waits for, and how far; absent if the job is seen for the first time. */
  readonly behind?: Tails;
  /** How often the job was postponed. */
  readonly waits?: number;
}

type Job<Name extends string, Data> = { readonly name: Name; readonly data: Common & Data };

/** Events of the mailboxes of a client lane, in this order. */
export type MailJob = Job<'mail', { readonly events: readonly MailEvent[] }>;

/** Jobs for retained messages. They run in one client lane, one at a time. */
export type RetainedJob =
  /** Publishes a page of retained messages back, after the writes. */
  | Job<'restore', Behind & RestoreStep>
  /**
   * A publish whose event arrived too late is newer than a restored message of its topic. This job corrects that, after
   * the writes.
   */
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
  /**
   * Only messages that were published before this time (ms, EMQX's clock) and whose policy says `restore`. null: an
   * operator wants all messages.
   */
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

/** Stored messages to append to a history. */
export type HistoryJob = Job<'history', { readonly events: readonly WireMessage[] }>;
