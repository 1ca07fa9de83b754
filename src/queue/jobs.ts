import type { Drop } from '../offline/deliver/drops';
import type { Message, QoS } from '../offline/message';
import type { Subscription } from '../stores/store';

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

/** A fence carries nothing: it is done when all that was in the lane before it is. */
export type MessageJob = { readonly name: 'events'; readonly data: { events: readonly MessageEvent[] } } | { readonly name: 'fence' };

export type ClientJob =
  /** Clients subscribed; the fences are passed. `turn`: it has waited in the client lane, too, for what was acknowledged before. */
  | { readonly name: 'subscribed'; readonly data: { requests: readonly DeliveryRequest[]; turn?: boolean } }
  /** The time to look again has come; not behind the fences yet. */
  | { readonly name: 'due'; readonly data: { requests: readonly DeliveryRequest[] } }
  /** Look again; the fences are passed. */
  | { readonly name: 'recheck'; readonly data: { requests: readonly DeliveryRequest[]; turn?: boolean } }
  /** The acknowledgements of a group's members have passed their own lanes. */
  | { readonly name: 'gathered'; readonly data: { requests: readonly DeliveryRequest[]; then: 'subscribed' | 'recheck' } }
  | { readonly name: 'fence' }
  | { readonly name: 'late'; readonly data: { late: readonly Late[] } }
  /** What a position covers need not be known one by one any more. */
  | { readonly name: 'forget'; readonly data: { positions: readonly Omit<Late, 'id'>[] } }
  | { readonly name: 'progress'; readonly data: { acks: readonly Progress[] } }
  | { readonly name: 'dropped'; readonly data: { drops: readonly ClientDrop[] } }
  /** A pause is over: go on where the windows stand. */
  | { readonly name: 'resume'; readonly data: { windows: readonly Resume[] } }
  | { readonly name: 'changes'; readonly data: { changes: readonly ClientChange[] } }
  | RetainedJob;

/** All of them run in one client lane: one at a time in all processes. */
export type RetainedJob =
  /** Publish a page of retained messages back; the fences are passed. */
  | { readonly name: 'restore'; readonly data: RestoreStep }
  /** Its time has come; not behind the fences yet. */
  | { readonly name: 'restore-due'; readonly data: RestoreStep }
  /** A restored message was overtaken by a publish that we heard of too late; the fences are passed. */
  | { readonly name: 'reconcile'; readonly data: { topics: readonly string[] } };

export function isRetainedJob(job: ClientJob): job is RetainedJob {
  return job.name === 'restore' || job.name === 'restore-due' || job.name === 'reconcile';
}

export interface RestoreStep {
  readonly filter: string;
  /** Only what was published before (ms, EMQX's clock), and whose policy says restore; null: an operator wants all. */
  readonly before: number | null;
  /** Topics up to this one are done. */
  readonly after: string;
}

/** Stored messages, to be appended to a history. */
export interface HistoryJob {
  readonly name: 'history';
  readonly data: { readonly messages: readonly WireMessage[] };
}

/** A message as JSON; the payload as base64. */
export type WireMessage = Omit<Message, 'payload'> & { readonly payload: string };

export function toWire(message: Message): WireMessage {
  return { ...message, payload: message.payload.toString('base64') };
}

export function fromWire(message: WireMessage): Message {
  return { ...message, payload: Buffer.from(message.payload, 'base64') };
}
