import type { Policy } from '../config/policies';
import type { AckedEvent, OfflineEvent, PublishEvent, SubscribedEvent } from '../events/event';
import { toWire, type DeliveryRequest, type MessageEvent } from '../queue/jobs';
import { expiryOf, isStored, policyFor } from './policy';
import type { Signer } from './signature';
import { isInbox, isWildcard, splitShare, stripInbox } from './topic';

/** What an event asks for; null: nothing. */
export type Route = { readonly write: MessageEvent } | { readonly deliver: DeliveryRequest } | null;

/** Decides, without looking anything up, what an event asks for. */
export function route(event: OfflineEvent, policies: readonly Policy[], signer: Signer): Route {
  switch (event.type) {
    case 'publish':
      return routePublish(event, policies, signer);
    case 'acked':
      return routeAck(event, policies, signer);
    case 'subscribed':
      return routeSubscribed(event, policies);
    case 'delivered':
    case 'delivery-dropped':
    case 'unsubscribed':
    case 'connected':
    case 'disconnected':
    case 'ignored':
      return null;
  }
}

/** Our own deliveries fire the rule again, as does what reaches an inbox: neither is stored (promise 8). */
function routePublish({ message, mark }: PublishEvent, policies: readonly Policy[], signer: Signer): Route {
  if (isInbox(message.topic) || signer.verified(mark) !== null) return null;
  const policy = policyFor(policies, message.topic);
  if (policy === null || !isStored(policy, message)) return null;
  return { write: { kind: 'publish', message: toWire({ ...message, expiresAt: expiryOf(policy, message) }) } };
}

/** A delivery of ours names the stored message; any other ack is of a message that EMQX delivered itself, by its own id. */
function routeAck({ id, topic, clientid, mark }: AckedEvent, policies: readonly Policy[], signer: Signer): Route {
  const stored = signer.verified(mark);
  const original = stripInbox(topic)?.topic ?? topic;
  // Nobody but us has a reason to publish to an inbox: without our signature there is nothing stored behind it.
  if (stored === null && isInbox(topic)) return null;
  if (policyFor(policies, original) === null) return null;
  return { write: { kind: 'ack', id: stored ?? id, topic: original, clientid, ours: stored !== null } };
}

function routeSubscribed({ clientid, filter, qos, at }: SubscribedEvent, policies: readonly Policy[]): Route {
  // The inbox subscriptions that we make ourselves trigger nothing (promise 8).
  if (isInbox(filter)) return null;
  const { filter: plain } = splitShare(filter);
  if (!isWildcard(plain) && policyFor(policies, plain) === null) return null;
  return { deliver: { clientid, filter, qos, at } };
}
