import type { Tails } from '../../lanes/sequence';
import type { QoS } from '../../mqtt/message';

/**
 * All that is known of what is on its way to one consumer (a client; in pubsub mode also a shared group): immutable, without a clock. `step.ts` says how
 * it changes, `plan.ts` what it asks for. Everything that a client names is a value in a list or a key of a Map, never a key of an object.
 */
export interface Mailbox {
  readonly consumer: string;
  /** null: nothing is known of it. A group has none. */
  readonly session: Session | null;
  /** In the order in which they read. One for each topic filter; of a group one for each of the last members. */
  readonly runs: readonly Run[];
  /** Copies: deliveries of ours that EMQX has and nobody has acknowledged, by the stored message's id. */
  readonly out: ReadonlyMap<string, Copy>;
  /** Copies that EMQX gave up: they are sent again before anything newer. By ascending id. */
  readonly again: readonly Again[];
  /** How many of `again` may be sent now. */
  readonly budget: number;
  /** How often some of `again` were tried since the client last acknowledged something, and when the next try is due (ms, our clock). */
  readonly rounds: number;
  readonly retryAt: number | null;
  /** Ids of messages that EMQX had of its own in the client's session when it was asked last: EMQX delivers them. */
  readonly held: ReadonlySet<string>;
  /** When EMQX is to be asked what it holds, when it was asked last (ms, our clock), and how often since the client last acknowledged something. */
  readonly askAt: number | null;
  readonly askedAt: number;
  readonly asks: number;
  /** Nothing is sent before (ms, our clock): acknowledgements of what EMQX does not hold any more may be on their way, or a pause paces QoS 0. */
  readonly doubtUntil: number | null;
  /** EMQX can't tell what it holds: only the client's silence says what is lost, and each acknowledgement puts doubtUntil off. */
  readonly doubtsBySilence: boolean;
  readonly pausedUntil: number | null;
  /** When the client last acknowledged, or was sent, something (ms, our clock). */
  readonly movedAt: number;
  /** The newest unsubscribe of a filter: a request that is older than that is void. */
  readonly left: readonly Left[];
  /** When the queue wakes the mailbox, and when once more after that (ms, our clock). */
  readonly wakeAt: number | null;
  readonly thenAt: number | null;
}

export interface Session {
  /** EMQX's clock, ms. The connection of now is the epoch: what is known of an older one may be void. */
  readonly connectedAt: number;
  readonly connected: boolean;
  /** The connection began the session; false: it resumed one; null: unknown. */
  readonly isNew: boolean | null;
  /** How long the session outlives its connection (ms); null: unknown. */
  readonly expiryMs: number | null;
  /** An event told of the connection; false: EMQX was asked, and a newer one may have begun since. */
  readonly isTold: boolean;
  /** Topic filters that were subscribed in this connection. */
  readonly filters: readonly string[];
  /**
   * EMQX keeps the session on disk and tells of no acknowledgement: what it has taken for the client is delivered. Absent: unknown. null: unknown, and EMQX is
   * asked for nothing else.
   */
  readonly isDurable?: boolean | null;
}

/** EMQX 4 does not tell the ids of what it publishes. */
export const UNTOLD = '';

export interface Copy {
  readonly topic: string;
  readonly qos: QoS;
  /** For which run it was sent. */
  readonly clientid: string;
  readonly filter: string;
  /** ms, our clock. */
  readonly sentAt: number;
  /** EMQX's id of the copy; UNTOLD: EMQX has it; null: EMQX's answer was lost, it may not have it at all. */
  readonly emqxId: string | null;
  /** EMQX did not have it when it was asked last. */
  readonly isMissing: boolean;
}

export interface Again {
  readonly id: string;
  readonly topic: string;
  readonly qos: QoS;
  readonly clientid: string;
  readonly filter: string;
}

/** Where a run reads: everything up to this topic and id was looked at. */
export interface Cursor {
  readonly topic: string;
  readonly id: string;
}

/** What a subscription still has to be sent. */
export interface Run {
  readonly clientid: string;
  readonly filter: string;
  readonly qos: QoS;
  /** When it subscribed (ms, EMQX's clock): what was published later is EMQX's to deliver. */
  readonly at: number;
  /** When it did so last: some ms later, in a storm. */
  readonly requestedAt: number;
  /** null: it has read all that there is. */
  readonly cursor: Cursor | null;
  /** The writes that it must wait for (promise 4); `note`: those that are accepted by now; null: none any more. */
  readonly behind: Behind | 'note' | null;
  /** A group's run waits for its members' lanes, too, and then for what these have put into its own lane: how many such waits are to come. */
  readonly gathers: number;
  /** How many it has sent (policy fetch.limit). */
  readonly sent: number;
  /** The window of the policy that it reads under; null: it has not read yet. */
  readonly window: number | null;
  /** EMQX sends the topic's retained message itself on this subscription; the later look finds out whether it was acknowledged. */
  readonly leavesRetained: boolean;
  /** When it reads all once more (ms, our clock): for late publishes (promise 5), and for what somebody else was being sent. */
  readonly lookAt: number | null;
  readonly looks: number;
  /** It met messages that somebody else was being sent: one more look. */
  readonly isBlocked: boolean;
  /** The client's inbox was subscribed in this connection. */
  readonly hasInbox: boolean;
  /** Requests of operators that the run serves (outcomes.ts), the newest last; absent: none. */
  readonly requests?: readonly string[];
}

export interface Behind {
  readonly tails: Tails;
  /** When it is looked again (ms, our clock), and how often it was. */
  readonly at: number;
  readonly waits: number;
}

export interface Left {
  readonly clientid: string;
  readonly filter: string;
  readonly at: number;
}

/** What is tried or asked again in vain is put off for twice as long each time, about so often: from seconds to hours. */
export const MOST_DOUBLINGS = 10;

export const START: Cursor = { topic: '', id: '' };

export function emptyMailbox(consumer: string): Mailbox {
  return {
    ...{ consumer, session: null, runs: [], out: new Map(), again: [], budget: 0, rounds: 0, retryAt: null, held: new Set() },
    ...{
      askAt: null,
      askedAt: 0,
      asks: 0,
      doubtUntil: null,
      doubtsBySilence: false,
      pausedUntil: null,
      movedAt: 0,
      left: [],
      wakeAt: null,
      thenAt: null,
    },
  };
}

/** Nothing is on its way, and nothing is to be sent. */
export function isIdle({ runs, out, again }: Mailbox): boolean {
  return runs.length === 0 && out.size === 0 && again.length === 0;
}

/** A shared group in pubsub mode (consumer.ts). */
export function isGroup({ consumer }: Pick<Mailbox, 'consumer'>): boolean {
  return consumer.startsWith('$share/');
}
