import type { Policy } from '../../config/policies';
import { splitShare } from '../../mqtt/topic';
import { canReach } from '../../policies/overlap';
import type { ClientState, Subscription } from '../../stores/store';
import { MAILBOX_TTL_MS } from '../times';
import { hasLeft, type Mailbox, type Run } from './mailbox';
import { taken } from './plan';
import { info, ok, problem, repeats, unacknowledged, waiting, waits, type Explanation } from './explain-copies';
import { at, counted, lasting, listed } from './wording';

export type { Explanation } from './explain-copies';

/** All that the server knows of a client when somebody asks why messages have or have not been delivered. */
export interface Known {
  /** null: there is none, or it was forgotten. */
  readonly mailbox: Mailbox | null;
  /** null: no event told (it needs the rule set client-state or full). */
  readonly state: Pick<ClientState, 'connected' | 'node' | 'connectedAt' | 'disconnectedAt'> | null;
  /** Stored subscriptions, which EMQX makes for the client. */
  readonly subscriptions: readonly Pick<Subscription, 'topic'>[];
  /** By topic filter, as far as somebody has looked: whether the store has messages for it. */
  readonly stored: ReadonlyMap<string, boolean>;
  /** What was given up for the client after errors, the newest first. */
  readonly setAside: readonly { readonly id: string; readonly reason: string; readonly at: number }[];
  readonly policies: readonly Policy[];
  /** EMQX_API_KEY and EMQX_API_SECRET are set. */
  readonly delivers: boolean;
  /** EMQX's REST API does not answer, or refuses the server. */
  readonly isEmqxAway: boolean;
}

const MOST_RUNS = 10;
const MOST_LETTERS = 3;

/**
 * Why stored messages have or have not been delivered to the client, in sentences. Pure; `now` is the server's clock
 * (ms).
 */
export function explain(known: Known, now: number): Explanation[] {
  const { mailbox } = known;
  return [
    ...withoutEmqx(known),
    ...connection(known, now),
    ...subscribed(known, now),
    ...(mailbox === null
      ? []
      : [...deliveries(mailbox, known, now), ...unacknowledged(mailbox, now), ...repeats(mailbox, now), ...waits(mailbox, now)]),
    ...stored(known),
    ...givenUp(known, now),
  ];
}

/** The topic filters that the client has subscribed to, as far as the server knows. */
export function filtersOf(mailbox: Mailbox | null, subscriptions: Known['subscriptions']): string[] {
  const seen = mailbox === null ? [] : [...(mailbox.session?.filters ?? []), ...mailbox.runs.map(({ filter }) => filter)];
  const left = new Set(leftBy(mailbox));
  return [...new Set([...seen.filter((filter) => !left.has(filter)), ...subscriptions.map(({ topic }) => topic)])];
}

function leftBy(mailbox: Mailbox | null): string[] {
  return mailbox === null ? [] : mailbox.left.flatMap(({ clientid, filter }) => (hasLeft(mailbox, clientid, filter) ? [filter] : []));
}

function withoutEmqx({ delivers, isEmqxAway }: Known): Explanation[] {
  if (!delivers) return [problem('EMQX_API_KEY and EMQX_API_SECRET are not set: the server stores messages and cannot deliver any.')];
  if (!isEmqxAway) return [];
  return [
    problem(
      "EMQX's REST API (EMQX_URL) does not answer the server, or refuses its API key: /readyz says why. Deliveries wait until it answers.",
    ),
  ];
}

function connection({ mailbox, state }: Known, now: number): Explanation[] {
  const session = mailbox?.session ?? null;
  const isConnected = session?.connected ?? state?.connected ?? null;
  if (isConnected === null)
    return [info('No event has told the server whether the client is connected. EMQX is asked when a delivery depends on it.')];
  if (!isConnected) {
    const since = state?.connected === false && state.disconnectedAt !== null ? ` since ${at(state.disconnectedAt, now)}` : '';
    const more = (mailbox?.out.size ?? 0) > 0 ? ' EMQX keeps what was already sent as long as it keeps the session.' : '';
    return [
      waiting(`The client is not connected${since}. The server sends stored messages when the client connects and subscribes.${more}`),
    ];
  }
  const since = session?.connectedAt ?? state?.connectedAt ?? null;
  const node = state?.connected === true && state.node !== null ? ` to ${state.node}` : '';
  return [
    ok(`The client is connected${node}${since === null ? '' : ` since ${at(since, now)}`}.`),
    ...(session?.isDurable === true
      ? [
          info(
            "EMQX keeps the client's session on disk and reports no acknowledgements for it: a message counts as delivered as soon as EMQX has accepted it.",
          ),
        ]
      : []),
  ];
}

function subscribed({ mailbox, state, subscriptions, policies }: Known, now: number): Explanation[] {
  const isConnected = mailbox?.session?.connected ?? state?.connected ?? null;
  const filters = filtersOf(mailbox, []);
  const left = leftBy(mailbox);
  const ended = left.length === 0 ? [] : [info(`The client has unsubscribed from ${listed(left)}.`)];
  const made =
    subscriptions.length === 0
      ? []
      : [
          info(
            `Stored subscriptions: ${listed(subscriptions.map(({ topic }) => topic))}. With the rule set client-state or full in EMQX, the server makes them again when the client connects.`,
          ),
        ];
  const shared = filters.filter((filter) => splitShare(filter).group !== null && canReach(policies, splitShare(filter).filter, 'pubsub'));
  const groups =
    shared.length === 0
      ? []
      : [info(`The group of ${listed(shared)} shares one read position in pubsub mode: another member may have received the messages.`)];
  if (filters.length > 0)
    return [ok(`The server has seen subscriptions of the client to ${listed(filters)}.`), ...groups, ...ended, ...made];
  if (mailbox === null && isConnected !== true)
    return [
      info(`The server has no delivery state of the client: it has not subscribed within the last ${lasting(MAILBOX_TTL_MS)}.`),
      ...made,
    ];
  if (isConnected === false) return [...ended, ...made];
  const since = mailbox?.session == null ? '' : ` since it connected at ${at(mailbox.session.connectedAt, now)}`;
  return [
    waiting(
      `The server has seen no subscription${since} to a topic that a policy stores. Stored messages are sent when the client subscribes; a client that resumes its session without subscribing again does not start a delivery. Check that the rule in EMQX sends session.subscribed, or request a delivery with POST /v1/deliveries.`,
    ),
    ...ended,
    ...made,
  ];
}

function deliveries(mailbox: Mailbox, known: Known, now: number): Explanation[] {
  if (mailbox.session?.connected === false) return [];
  return mailbox.runs.slice(0, MOST_RUNS).flatMap((run) => [...progress(mailbox, run, now), ...atQos0(run, known.policies)]);
}

function progress(mailbox: Mailbox, run: Run, now: number): Explanation[] {
  const { filter, cursor, behind, window, lookAt, isBlocked } = run;
  if (cursor === null) {
    const later = lookAt === null ? '' : ` It looks once more at ${at(lookAt, now)} for messages that arrive late.`;
    return [ok(`The server has read everything that is stored for ${filter}, and has sent ${counted(run.sent, 'message')}.${later}`)];
  }
  if (behind !== null)
    return [
      waiting(
        `The delivery for ${filter} waits until events that arrived before the subscription are stored${behind === 'note' ? '' : ` (${listed(Object.keys(behind.tails))})`}.`,
      ),
    ];
  if (window !== null && taken(mailbox) > window / 2) return [waiting(fullWindow(mailbox, filter, window))];
  const place = cursor.topic === '' ? '' : ` The server has come to topic ${cursor.topic}.`;
  const blocked = isBlocked ? ' Some messages are being sent to another subscriber at the moment; the server looks at them again.' : '';
  return [waiting(`The server reads what is stored for ${filter} and has sent ${counted(run.sent, 'message')} so far.${place}${blocked}`)];
}

function fullWindow(mailbox: Mailbox, filter: string, window: number): string {
  const isFull = taken(mailbox) >= window;
  return `More is stored for ${filter}. The window (${window} messages) is ${isFull ? 'full' : 'more than half full'}: the server sends the next messages when at most ${Math.floor(window / 2)} are unacknowledged.`;
}

/** QoS 0 is not acknowledged: the policy says what that means. */
function atQos0({ filter, qos }: Run, policies: readonly Policy[]): Explanation[] {
  if (qos !== 0) return [];
  const reached = policies.filter((policy) => policy.mode !== 'off' && canReach([policy], splitShare(filter).filter));
  return [...new Set(reached.map(({ qos0 }) => qos0))].map((policy) => info(`${filter} is subscribed at QoS 0. ${QOS0[policy]}`));
}

const QOS0: Readonly<Record<Policy['qos0'], string>> = {
  settle: 'A message counts as delivered as soon as EMQX has accepted it (policy qos0: settle).',
  keep: 'Messages stay stored and are sent again with each subscription (policy qos0: keep).',
  skip: 'Stored messages are not sent to QoS 0 subscriptions (policy qos0: skip).',
};

function stored({ mailbox, stored: found }: Known): Explanation[] {
  const filters = [...found].flatMap(([filter, isStored]) => (isStored ? [filter] : []));
  const empty = [...found].flatMap(([filter, isStored]) => (isStored ? [] : [filter]));
  const isRead = (filter: string): boolean =>
    mailbox?.session?.connected !== false && mailbox?.runs.some((run) => run.filter === filter && run.cursor !== null) !== true;
  const rest = filters.filter(isRead);
  return [
    ...(empty.length === 0 ? [] : [ok(`Nothing is stored for ${listed(empty)}.`)]),
    ...(rest.length === 0
      ? []
      : [
          info(
            `The store has messages for ${listed(rest)}. EMQX itself delivers a message that is published after the subscription; the server deletes it (queue mode) or notes it as read (pubsub mode) when it is acknowledged.`,
          ),
        ]),
    ...(mailbox?.session?.connected === false && filters.length > 0 ? [info(`Messages are stored for ${listed(filters)}.`)] : []),
  ];
}

function givenUp({ setAside }: Known, now: number): Explanation[] {
  return setAside
    .slice(0, MOST_LETTERS)
    .map(({ id, reason, at: when }) =>
      problem(`The server gave up at ${at(when, now)} after errors: ${reason.slice(0, 500)} (dead letter ${id}).`),
    );
}
