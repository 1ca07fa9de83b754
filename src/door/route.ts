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

/** Turns an event into the items that are put into the queue. It needs no database. */
export function route(event: OfflineEvent, policies: readonly Policy[], signer: Signer): Item[] {
  switch (event.type) {
    case 'publish':
      return routePublish(event, policies, signer);
    case 'acked':
      return routeAck(event, policies, signer);
    case 'subscribed':
      return routeSubscribed(event, policies);
    case 'unsubscribed':
      // The policies are not asked, because the subscription may be stored from earlier policies or by an operator.
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

/**
 * The item for a change of a client, which the client or an operator made. It goes into the lane of the client's
 * mailbox.
 */
export function changed({ type: _, ...change }: ClientChange & { readonly type?: string }): Item {
  return { mail: { to: clientKey(change.clientid), kind: 'change', change: change as ClientChange } };
}

/**
 * Why a published message is not stored; null if it is stored, or if the server itself published it. `now` is in ms.
 */
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

/**
 * Whether the server itself published the message. Its deliveries, and messages to an inbox, fire EMQX's rule again.
 */
function isOwn({ message, mark }: PublishEvent, signer: Signer): boolean {
  return isInbox(message.topic) || signer.verified(mark, message.topic) !== null;
}

/** Messages that the server itself published are not stored again (promise 8). */
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
 * The mark of a copy that the server published names the stored message and the mailbox. Any other ack is for a message
 * that EMQX delivered itself, and has EMQX's id of that message. In queue mode the ack removes the message. In pubsub
 * mode the client's mailbox moves the read position.
 */
function routeAck({ id: brokerId, topic, clientid, mark }: AckedEvent, policies: readonly Policy[], signer: Signer): Item[] {
  const verified = signer.verified(mark, topic);
  const original = stripInbox(topic)?.topic ?? topic;
  // Only the server publishes to an inbox. Without the server's signature there is no stored message for the ack.
  if (verified === null && isInbox(topic)) return [];
  const policy = policyFor(policies, original);
  if (policy === null) return [];
  const own = clientKey(clientid);
  const id = verified?.id ?? brokerId;
  // Acks of durable sessions have an empty topic and a new id, so the message is not known.
  if (id === null || topic === '') return [];
  const acked = { kind: 'acked', clientid, id, topic: original } as const;
  if (policy.mode === 'pubsub') {
    const ours = verified !== null && (verified.kind === 'group' || verified.mailbox === own);
    return [{ mail: { ...acked, to: own, ours, isRead: true, ...(verified?.kind === 'group' && { isOfGroup: true }) } }];
  }
  const to = verified === null ? null : addressee(verified, own);
  return [{ write: { kind: 'ack', id, topic: original, clientid } }, ...(to === null ? [] : [{ mail: { ...acked, to, ours: true } }])];
}

/**
 * EMQX dropped a message. If the server published it, the mailbox must know. Any other message stays stored until the
 * client subscribes again.
 */
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
 * The mailbox that sent the copy, if this client may acknowledge the copy. Any member of a shared subscription may.
 * null for another client, which got the copy only because it subscribes to the same topic.
 */
function addressee({ kind, mailbox }: VerifiedMark, own: string): string | null {
  return kind === 'member' || (kind === 'own' && mailbox === own) ? mailbox : null;
}

function routeSubscribed(event: SubscribedEvent, policies: readonly Policy[]): Item[] {
  if (!canReach(policies, event.filter)) return [];
  const { clientid, filter, qos, at } = event;
  return [changed({ kind: 'subscribed', clientid, filter, qos, at }), ...deliveries(policies, { clientid, filter, qos, at })];
}

/**
 * The items that deliver the stored messages of a filter to the client.
 * @param id the id of an operator's request, whose outcome is recorded. Each item records one part of it (outcomes.ts).
 */
export function deliveries(policies: readonly Policy[], request: Parameters<typeof requestsOf>[1], id?: string): Item[] {
  const mail = (each: typeof request): MailEvent => ({ to: mailboxKey(consumerOf(each)), kind: 'deliver', request: each });
  return requestsOf(policies, request).map((each, part) => ({
    mail: mail(id === undefined ? each : { ...each, requestId: partId(id, part) }),
  }));
}
