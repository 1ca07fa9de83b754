import type { Policy } from '../config/policies';
import type { AckedEvent, DeliveryDroppedEvent, OfflineEvent, PublishEvent, SubscribedEvent } from '../events/event';
import type { ClientChange, Item, MailEvent } from '../lanes/jobs';
import { partId } from '../lanes/outcomes';
import { requestsOf } from '../mailbox/positions/readers';
import { clientKey, consumerOf, mailboxKey } from '../mqtt/consumer';
import { canReach } from '../policies/overlap';
import { expiryOf, isCovered, isStored, policyFor, retainOf } from '../policies/policy';
import type { Signer, VerifiedMark } from '../mailbox/signature';
import { isInbox, splitShare, stripInbox } from '../mqtt/topic';

/** Decides, without looking anything up, what an event asks for. */
export function route(event: OfflineEvent, policies: readonly Policy[], signer: Signer): Item[] {
  switch (event.type) {
    case 'publish':
      return routePublish(event, policies, signer);
    case 'acked':
      return routeAck(event, policies, signer);
    case 'subscribed':
      return routeSubscribed(event, policies);
    case 'unsubscribed':
      // Whatever the policies are now: it may be stored from before, or by an operator.
      return isInbox(splitShare(event.filter).filter) ? [] : [changed({ ...event, kind: 'unsubscribed' })];
    case 'connected':
      return [changed({ ...event, kind: 'connected' })];
    case 'disconnected':
      return [changed({ ...event, kind: 'disconnected' })];
    case 'delivery-dropped':
      return routeDropped(event, policies, signer);
    case 'delivered':
    case 'ignored':
      return [];
  }
}

/** What a client did, or an operator decided for it, goes into its mailbox's lane. */
export function changed({ type: _, ...change }: ClientChange & { readonly type?: string }): Item {
  return { mail: { to: clientKey(change.clientid), kind: 'change', change: change as ClientChange } };
}

/** Why a published message is not stored; null: it is, or it is a delivery of the server's own. `now`: ms */
export function reasonNotStored(
  event: OfflineEvent,
  policies: readonly Policy[],
  signer: Signer,
  now: number,
): 'no_policy' | 'mode_off' | 'qos0' | 'expired' | null {
  if (event.type !== 'publish' || isOwn(event, signer)) return null;
  const { message } = event;
  const policy = policyFor(policies, message.topic);
  if (policy === null) return isCovered(policies, message.topic) ? 'mode_off' : 'no_policy';
  if (!isStored(policy, message)) return 'qos0';
  return expiryOf(policy, message) <= now ? 'expired' : null;
}

/** The server's own deliveries fire the rule again, as does what reaches an inbox. */
function isOwn({ message, mark }: PublishEvent, signer: Signer): boolean {
  return isInbox(message.topic) || signer.verified(mark, message.topic) !== null;
}

/** What is the server's own is not stored (promise 8). */
function routePublish(event: PublishEvent, policies: readonly Policy[], signer: Signer): Item[] {
  if (isOwn(event, signer)) return [];
  const { message } = event;
  const policy = policyFor(policies, message.topic);
  const stored = policy !== null && isStored(policy, message) ? { ...message, expiresAt: expiryOf(policy, message) } : null;
  const retained = message.retain && retainOf(policies, message.topic) !== 'off';
  if (stored === null) return retained ? [{ write: { kind: 'publish', message, retained: 'only' } }] : [];
  return [{ write: { kind: 'publish', message: stored, ...(retained && { retained: 'too' }) } }];
}

/**
 * A delivery of ours names the stored message, and the mailbox that it was sent from; any other ack is of a message that EMQX delivered itself, by its own id. In
 * queue mode the message is done; in pubsub mode the client's mailbox finds out who has read it.
 */
function routeAck({ id: brokerId, topic, clientid, mark }: AckedEvent, policies: readonly Policy[], signer: Signer): Item[] {
  const verified = signer.verified(mark, topic);
  const original = stripInbox(topic)?.topic ?? topic;
  // Nobody but us has a reason to publish to an inbox: without our signature there is nothing stored behind it.
  if (verified === null && isInbox(topic)) return [];
  const policy = policyFor(policies, original);
  if (policy === null) return [];
  const own = clientKey(clientid);
  const id = verified?.id ?? brokerId;
  // Durable sessions have forgotten what it was, and without a topic no mark is believed.
  if (id === null || topic === '') return [];
  const acked = { kind: 'acked', clientid, id, topic: original } as const;
  if (policy.mode === 'pubsub') {
    const ours = verified !== null && (verified.kind === 'group' || verified.mailbox === own);
    return [{ mail: { ...acked, to: own, ours, isRead: true, ...(verified?.kind === 'group' && { isOfGroup: true }) } }];
  }
  const to = verified === null ? null : addressee(verified, own);
  return [{ write: { kind: 'ack', id, topic: original, clientid } }, ...(to === null ? [] : [{ mail: { ...acked, to, ours: true } }])];
}

/** EMQX gave up a copy: of ours the mailbox must know; any other message stays stored until the client subscribes again. */
function routeDropped(
  { id: copyId, topic, clientid, reason, mark }: DeliveryDroppedEvent,
  policies: readonly Policy[],
  signer: Signer,
): Item[] {
  const verified = signer.verified(mark, topic);
  const original = stripInbox(topic)?.topic ?? topic;
  if (verified === null || policyFor(policies, original) === null) return [];
  const own = clientKey(clientid);
  const dropped = { kind: 'dropped', clientid, topic: original, id: verified.id, copyId, reason } as const;
  if (verified.kind === 'group') return [{ mail: { ...dropped, to: own, group: verified.mailbox } }];
  const to = addressee(verified, own);
  return to === null ? [] : [{ mail: { ...dropped, to } }];
}

/**
 * Whose copy it was; null: everybody who subscribes to the topic has one, and this client's is nobody's. What a shared subscription is sent EMQX gives to any
 * member.
 */
function addressee({ kind, mailbox }: VerifiedMark, own: string): string | null {
  return kind === 'member' || (kind === 'own' && mailbox === own) ? mailbox : null;
}

function routeSubscribed(event: SubscribedEvent, policies: readonly Policy[]): Item[] {
  if (!canReach(policies, event.filter)) return [];
  const { clientid, filter, qos, at } = event;
  return [changed({ kind: 'subscribed', clientid, filter, qos, at }), ...deliveries(policies, { clientid, filter, qos, at })];
}

/** Deliver to the client what is stored for the filter. `id`: of an operator who wants to know what came of it; each item has a part of it (outcomes.ts). */
export function deliveries(policies: readonly Policy[], request: Parameters<typeof requestsOf>[1], id?: string): Item[] {
  const mail = (each: typeof request): MailEvent => ({ to: mailboxKey(consumerOf(each)), kind: 'deliver', request: each });
  return requestsOf(policies, request).map((each, part) => ({
    mail: mail(id === undefined ? each : { ...each, requestId: partId(id, part) }),
  }));
}
