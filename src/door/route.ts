import type { Policy } from '../config/policies';
import type { AckedEvent, DeliveryDroppedEvent, OfflineEvent, PublishEvent, SubscribedEvent } from '../events/event';
import type { Item } from '../lanes/jobs';
import { requestsOf } from '../mailbox/positions/readers';
import { canReach } from '../policies/overlap';
import { expiryOf, isStored, policyFor, retainOf } from '../policies/policy';
import type { Signer } from '../mailbox/signature';
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
      return isInbox(splitShare(event.filter).filter) ? [] : [{ change: { ...event, kind: 'unsubscribed' } }];
    case 'connected':
      return [{ change: { ...event, kind: 'connected' } }];
    case 'disconnected':
      return [{ change: { ...event, kind: 'disconnected' } }];
    case 'delivery-dropped':
      return routeDropped(event, policies, signer);
    case 'delivered':
    case 'ignored':
      return [];
  }
}

/** Our own deliveries fire the rule again, as does what reaches an inbox: neither is stored (promise 8). */
function routePublish({ message, mark }: PublishEvent, policies: readonly Policy[], signer: Signer): Item[] {
  if (isInbox(message.topic) || signer.verified(mark) !== null) return [];
  const policy = policyFor(policies, message.topic);
  const stored = policy !== null && isStored(policy, message) ? { ...message, expiresAt: expiryOf(policy, message) } : null;
  const retained = message.retain && retainOf(policies, message.topic) !== 'off';
  if (stored === null) return retained ? [{ write: { kind: 'publish', message, retained: 'only' } }] : [];
  return [{ write: { kind: 'publish', message: stored, ...(retained && { retained: 'too' }) } }];
}

/** A delivery of ours names the stored message; any other ack is of a message that EMQX delivered itself, by its own id. */
function routeAck({ id, topic, clientid, mark }: AckedEvent, policies: readonly Policy[], signer: Signer): Item[] {
  const stored = signer.verified(mark);
  const original = stripInbox(topic)?.topic ?? topic;
  // Nobody but us has a reason to publish to an inbox: without our signature there is nothing stored behind it.
  if (stored === null && isInbox(topic)) return [];
  if (policyFor(policies, original) === null) return [];
  return [{ write: { kind: 'ack', id: stored ?? id, topic: original, clientid, ours: stored !== null } }];
}

/** EMQX gave up a delivery: of ours the window must know; any other message stays stored until the client subscribes again. */
function routeDropped({ topic, clientid, qos, reason, mark }: DeliveryDroppedEvent, policies: readonly Policy[], signer: Signer): Item[] {
  const id = signer.verified(mark);
  const original = stripInbox(topic)?.topic ?? topic;
  if (id === null || policyFor(policies, original) === null) return [];
  return [{ drop: { clientid, topic: original, id, qos, reason } }];
}

function routeSubscribed(event: SubscribedEvent, policies: readonly Policy[]): Item[] {
  if (!canReach(policies, event.filter)) return [];
  const { clientid, filter, qos, at } = event;
  const requests = requestsOf(policies, { clientid, filter, qos, at });
  return [{ change: { kind: 'subscribed', clientid, filter, qos, at } }, ...requests.map((deliver) => ({ deliver }))];
}
