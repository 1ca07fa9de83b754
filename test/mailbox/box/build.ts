import { isRun, type Fact, type Of } from '../../../src/mailbox/box/fact';
import { emptyMailbox, START, type Again, type Copy, type Mailbox, type Run, type Session } from '../../../src/mailbox/box/mailbox';
import { planOf, type Plan } from '../../../src/mailbox/box/plan';
import { step } from '../../../src/mailbox/box/step';
import type { HeldMessage, HeldView, SessionView } from '../../../src/emqx/api';
import type { DeliveryRequest } from '../../../src/lanes/jobs';

/** Our clock and EMQX's, when a test begins. ms. */
export const NOW = 1_800_000_000_000;

/** A stored message's id as EMQX makes them: the time of its publish in microseconds, and a number. */
export function idAt(at: number, number = 0): string {
  return (BigInt(at) * 1000n).toString(16).toUpperCase().padStart(16, '0') + number.toString(16).toUpperCase().padStart(16, '0');
}

/** A fact that does not say how its run was, or when EMQX was asked: it is as it is when the fact is learnt. */
export type Loose =
  Fact | Omit<Of<'sent'>, 'requestedAt' | 'looks' | 'from'> | Omit<Of<'gated'>, 'requestedAt' | 'looks'> | Omit<Of<'asked'>, 'at'>;

/** The fact of a pass that works for the run as it is, and asks EMQX now. */
export function factNow({ runs }: Mailbox, fact: Loose, now: number): Fact {
  if (fact.kind === 'asked') return { at: now, ...fact };
  if ((fact.kind !== 'sent' && fact.kind !== 'gated') || 'looks' in fact) return fact;
  const own = runs.find((each) => isRun(each, fact));
  const then = { requestedAt: own?.requestedAt ?? NOW, looks: own?.looks ?? 0 };
  return fact.kind === 'gated' ? { ...fact, ...then } : { ...fact, ...then, from: own?.cursor ?? null };
}

export const request = (fields: Partial<DeliveryRequest> = {}): DeliveryRequest => ({
  clientid: 'c',
  filter: 't/a',
  qos: 1,
  at: NOW,
  ...fields,
});
export const subscribed = (fields: Partial<DeliveryRequest> = {}): Fact => ({ kind: 'subscribed', request: request(fields) });
export const unsubscribed = (at = NOW, filter = 't/a', clientid = 'c'): Fact => ({ kind: 'unsubscribed', clientid, filter, at });
export const connected = (at = NOW, cleanStart: boolean | null = null, expiryMs: number | null = null): Fact => ({
  kind: 'connected',
  at,
  cleanStart,
  expiryMs,
});
export const disconnected = (at = NOW, connectedAt: number | null = null): Fact => ({ kind: 'disconnected', at, connectedAt });
export const acked = (id: string, isCopy = true): Fact => ({ kind: 'acked', id, isCopy });
export const dropped = (id: string, reason = 'queue_full'): Fact => ({ kind: 'dropped', id, reason });
export const due: Fact = { kind: 'due' };
export const gated = (filter = 't/a', clientid = 'c'): Loose => ({ kind: 'gated', clientid, filter, tails: null });

export function sent(ids: readonly string[], fields: Partial<Of<'sent'>> & { at?: number } = {}): Loose {
  const { at = NOW, ...others } = fields;
  const { clientid = 'c', filter = 't/a' } = others;
  return {
    ...{
      kind: 'sent',
      clientid,
      filter,
      copies: ids.map((id) => [id, copy(id, { clientid, filter, sentAt: at })]),
      cursor: null,
      window: 100,
    },
    ...{ unclocked: 0, pauseUntil: null, isBlocked: false, isOver: false, hasInbox: false, ...others },
  };
}

export function resent(ids: readonly string[], fields: Partial<Extract<Fact, { kind: 'resent' }>> & { at?: number } = {}): Fact {
  const { at = NOW, ...others } = fields;
  return {
    kind: 'resent',
    copies: ids.map((id) => [id, copy(id, { sentAt: at, emqxId: `again-${id}` })]),
    done: [],
    stopped: false,
    ...others,
  };
}

export const view = (fields: Partial<SessionView> = {}): SessionView => ({
  ...{ connected: true, connectedAt: NOW, createdAt: NOW - 3_600_000, persistent: true, durable: false, queued: 0, inflight: 0 },
  ...fields,
});
export const held = (messages: readonly (string | HeldMessage)[], complete = true): HeldView => ({
  ...{ kind: 'list', complete },
  messages: messages.map((each) => (typeof each === 'string' ? { id: each, topic: 't/a', from: 'publisher' } : each)),
});
/** EMQX answers with its list. */
export const told = (ids: readonly (string | HeldMessage)[], session: Partial<SessionView> = {}): Loose => ({
  kind: 'asked',
  session: view(session),
  held: held(ids),
});
/** EMQX can't list what it holds. */
export const counted = (queued: number, session: Partial<SessionView> = {}): Loose => ({
  kind: 'asked',
  session: view({ ...session, queued }),
  held: { kind: 'unknown' },
});

export const copy = (id: string, fields: Partial<Copy> = {}): Copy => ({
  ...{ topic: 't/a', qos: 1, clientid: 'c', filter: 't/a', sentAt: NOW, emqxId: `copy-${id}`, isMissing: false },
  ...fields,
});
export const again = (id: string, fields: Partial<Again> = {}): Again => ({
  id,
  topic: 't/a',
  qos: 1,
  clientid: 'c',
  filter: 't/a',
  ...fields,
});
export const outOf = (...ids: readonly string[]): Mailbox['out'] => new Map(ids.map((id) => [id, copy(id)]));

export const run = (fields: Partial<Run> = {}): Run => ({
  ...{ clientid: 'c', filter: 't/a', qos: 1, at: NOW, requestedAt: NOW, cursor: START, behind: null, gathers: 0, sent: 0, window: 100 },
  ...{ leavesRetained: true, lookAt: null, looks: 0, isBlocked: false, hasInbox: false },
  ...fields,
});
export const session = (fields: Partial<Session> = {}): Session => ({
  ...{ connectedAt: NOW - 60_000, connected: true, isNew: false, expiryMs: 3_600_000, isTold: true, filters: ['t/a'] },
  ...fields,
});
export const mailbox = (fields: Partial<Mailbox> = {}): Mailbox => ({
  ...emptyMailbox('c'),
  session: session(),
  movedAt: NOW,
  askedAt: NOW,
  ...fields,
});

/** What becomes of a mailbox when it learns facts one after the other, each at its time. */
export class Box {
  readonly freed: string[] = [];
  now: number;

  constructor(
    public mailbox: Mailbox,
    now = NOW,
  ) {
    this.now = now;
  }

  get plan(): Plan {
    return planOf(this.mailbox, this.now);
  }

  get ids(): string[] {
    return [...this.mailbox.out.keys()];
  }

  learn(...facts: readonly Loose[]): this {
    for (const loose of facts) {
      const fact = factNow(this.mailbox, loose, this.now);
      const next = step(deepFreeze(this.mailbox), deepFreeze(fact), this.now);
      this.mailbox = next.mailbox;
      this.freed.push(...next.freed);
    }
    return this;
  }

  /** Time passes, and the queue wakes the mailbox. */
  pass(ms: number): this {
    this.now += ms;
    return this.learn(due);
  }
}

/** Objects and lists can't be changed any more, and Maps and Sets throw where one tries. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  if (value instanceof Map || value instanceof Set) {
    const refuse = (): never => {
      throw new TypeError('a mailbox is immutable');
    };
    Object.assign(value, { delete: refuse, clear: refuse, ...(value instanceof Map ? { set: refuse } : { add: refuse }) });
    for (const each of value.values()) deepFreeze(each);
  } else {
    for (const each of Object.values(value)) deepFreeze(each);
  }
  return Object.freeze(value);
}
