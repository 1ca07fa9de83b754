import type { Tails } from '../../lanes/sequence';
import type { QoS } from '../../mqtt/message';

/**
 * The record of what is on its way to one consumer: a client, or in pubsub mode also a shared group. A mailbox is
 * immutable and has no clock. `step.ts` says how it changes, `plan.ts` what it asks for. Names that clients choose are
 * values in lists or keys of Maps, never keys of an object, so that a name like `__proto__` does no harm.
 */
export interface Mailbox {
  readonly consumer: string;
  /** null if nothing is known of the session. A group has none. */
  readonly session: Session | null;
  /**
   * In the order in which they read. A client has one run for each topic filter. A group has one for each filter and
   * member, for the members that subscribed last.
   */
  readonly runs: readonly Run[];
  /** Copies that EMQX has and nobody has acknowledged, by the id of the stored message. */
  readonly out: ReadonlyMap<string, Copy>;
  /** Messages whose copies EMQX dropped or lost, by ascending id. They are sent again before anything newer. */
  readonly again: readonly Again[];
  /** How many of `again` may be sent now. */
  readonly budget: number;
  /**
   * How often entries of `again` were tried since the client last acknowledged something, and when the next try is due
   * (ms, the server's clock).
   */
  readonly rounds: number;
  readonly retryAt: number | null;
  /** Ids of EMQX's own messages in the client's session when EMQX was last asked. EMQX delivers them. */
  readonly held: ReadonlySet<string>;
  /**
   * When EMQX is to be asked what it holds, and when it was last asked (ms, the server's clock). `asks` counts the
   * questions since the client last acknowledged something.
   */
  readonly askAt: number | null;
  readonly askedAt: number;
  readonly asks: number;
  /**
   * Nothing is sent before this time (ms, the server's clock), because acknowledgements of what EMQX no longer holds
   * may be on their way.
   */
  readonly doubtUntil: number | null;
  /**
   * True if EMQX can't list what it holds. Then only the client's silence shows what is lost, and each acknowledgement
   * moves `doubtUntil`.
   */
  readonly doubtsBySilence: boolean;
  /**
   * Nothing is sent before this time (ms, the server's clock): a pause paces messages that nobody acknowledges, or
   * waits for claims to end.
   */
  readonly pausedUntil: number | null;
  /** When the client last acknowledged something or was last sent something (ms, the server's clock). */
  readonly movedAt: number;
  /**
   * The newest unsubscribe of each filter. A subscription that is older than its unsubscribe is void. Filters that the
   * client has subscribed to again come first.
   */
  readonly left: readonly Left[];
  /** When the queue wakes the mailbox, and when it does so once more after that (ms, the server's clock). */
  readonly wakeAt: number | null;
  readonly thenAt: number | null;
}

export interface Session {
  /** When the connection began (ms, EMQX's clock). What is known of an older connection may be void. */
  readonly connectedAt: number;
  readonly connected: boolean;
  /** True if the connection began the session, false if it resumed one, null if unknown. */
  readonly isNew: boolean | null;
  /** How long the session outlives its connection (ms); null if unknown. */
  readonly expiryMs: number | null;
  /**
   * True if an event told of the connection. False if EMQX's answer or a subscription did: a newer connection may have
   * begun since.
   */
  readonly isTold: boolean;
  /** Topic filters that were subscribed in this connection. */
  readonly filters: readonly string[];
  /**
   * True if EMQX keeps the session on disk and reports no acknowledgements: a message is delivered when EMQX has
   * accepted it. Absent: unknown. null: unknown, and EMQX is asked for nothing else.
   */
  readonly isDurable?: boolean | null;
}

/** Stands for EMQX's id of a copy in EMQX 4, which does not tell the ids of what it publishes. */
export const UNTOLD = '';

export interface Copy {
  readonly topic: string;
  readonly qos: QoS;
  /** Client and filter of the run that the copy was sent for. */
  readonly clientid: string;
  readonly filter: string;
  /** ms, the server's clock. */
  readonly sentAt: number;
  /** EMQX's id of the copy. UNTOLD: EMQX has the copy. null: EMQX's answer was lost, so EMQX may not have the copy. */
  readonly emqxId: string | null;
  /** True if EMQX did not have the copy when it was last asked. */
  readonly isMissing: boolean;
  /**
   * True if the consumer has read the message in another way. EMQX still has the copy, so it takes its place in the
   * window, but if it is lost it is not sent again.
   */
  readonly isRead?: boolean;
  /** True if the copy was sent for a subscription of a session that has ended. EMQX may have it in the next session. */
  readonly isOfLast?: boolean;
}

export interface Again {
  readonly id: string;
  readonly topic: string;
  readonly qos: QoS;
  readonly clientid: string;
  readonly filter: string;
}

/** How far a run has read: it has seen everything up to this topic and id. */
export interface Cursor {
  readonly topic: string;
  readonly id: string;
  /** The client that published all messages of the topic up to the id; absent if there are several, or if it is unknown. */
  readonly publisher?: string;
}

/** What one subscription still has to be sent. */
export interface Run {
  readonly clientid: string;
  readonly filter: string;
  readonly qos: QoS;
  /** When the client subscribed (ms, EMQX's clock). EMQX itself delivers what was published later. */
  readonly at: number;
  /** When the client last subscribed: in a storm some ms after `at`. */
  readonly requestedAt: number;
  /**
   * When the client had, or may have had, the same subscription last before `at` (ms, EMQX's clock). EMQX may have
   * delivered messages for it that were published before `at`. Absent: never in this connection.
   */
  readonly hadAt?: number;
  /** null if the run has read everything. */
  readonly cursor: Cursor | null;
  /**
   * The writes that the run must wait for (promise 4). `note`: the writes that are accepted by now, which the next pass
   * notes. null: none.
   */
  readonly behind: Behind | 'note' | null;
  /**
   * How many waits are still to come in a group's run: it waits for the lanes of its members, and then for what these
   * lanes have put into the group's own lane.
   */
  readonly gathers: number;
  /** How many messages the run has sent (policy fetch.limit). */
  readonly sent: number;
  /** Ids of messages that were stored behind the cursor and that the run has sent, the newest last; absent: none. */
  readonly late?: readonly string[];
  /** The window of the policy that the run reads under; null before its first read. */
  readonly window: number | null;
  /**
   * True if the run skips the topic's retained message, because EMQX sends it on this subscription. The later look
   * finds out whether the client acknowledged it.
   */
  readonly leavesRetained: boolean;
  /**
   * When the run reads everything once more (ms, the server's clock): for late publishes (promise 5), and for messages
   * that another consumer was being sent.
   */
  readonly lookAt: number | null;
  readonly looks: number;
  /** True if the run met messages that another consumer was being sent. Then it looks once more. */
  readonly isBlocked: boolean;
  /** True if the client's inbox was subscribed in this connection. */
  readonly hasInbox: boolean;
  /** Requests of operators that the run serves (outcomes.ts), the newest last; absent: none. */
  readonly requests?: readonly string[];
}

export interface Behind {
  readonly tails: Tails;
  /** When the run checks the lanes again (ms, the server's clock), and how often it has checked in vain. */
  readonly at: number;
  readonly waits: number;
}

export interface Left {
  readonly clientid: string;
  readonly filter: string;
  readonly at: number;
  /** When the client subscribed again (ms, EMQX's clock). Events come late, or twice, so it may be earlier than `at`. */
  readonly backAt?: number;
}

/** The pause after a vain try or question doubles at most this many times: from seconds to hours. */
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

/** Whether nothing is on its way and nothing has still to be sent. */
export function isIdle({ runs, out, again }: Mailbox): boolean {
  return runs.length === 0 && out.size === 0 && again.length === 0;
}

/** Whether the client has unsubscribed from the filter, and has not subscribed to it again. */
export function hasLeft({ left }: Pick<Mailbox, 'left'>, clientid: string, filter: string): boolean {
  return left.some((each) => each.clientid === clientid && each.filter === filter && each.at >= (each.backAt ?? -Infinity));
}

/** Whether the consumer is a shared group in pubsub mode (mqtt/consumer.ts). */
export function isGroup({ consumer }: Pick<Mailbox, 'consumer'>): boolean {
  return consumer.startsWith('$share/');
}
