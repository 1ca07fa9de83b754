import { contract } from '../contract/contract';

/** The events that the server uses, and their schemas in openapi.yaml. */
export const HANDLED = {
  'message.publish': 'MessagePublish',
  'message.dropped': 'MessageDropped',
  'message.delivered': 'MessageDelivered',
  'message.acked': 'MessageAcked',
  'delivery.dropped': 'DeliveryDropped',
  'session.subscribed': 'SessionSubscribed',
  'session.unsubscribed': 'SessionUnsubscribed',
  'client.connected': 'ClientConnected',
  'client.disconnected': 'ClientDisconnected',
} as const;

export type HandledName = keyof typeof HANDLED;

const EVENT_NAME = contract.validator('#/components/schemas/EventName');

/** EMQX's event names, including those that the server ignores. */
export const KNOWN_NAMES = contract.list('/components/schemas/EventName/anyOf/0/enum');

export function isHandled(name: string): name is HandledName {
  return Object.hasOwn(HANDLED, name);
}

export function isKnown(name: string): boolean {
  return EVENT_NAME(name).length === 0;
}

/**
 * The label of an event in metrics. Operators choose the names of bridges, so these are cut to their prefix to keep the
 * number of labels small.
 */
export function metricLabel(name: string): string {
  return KNOWN_NAMES.includes(name) ? name : (/^\$[a-z]+/.exec(name)?.[0] ?? 'other');
}
