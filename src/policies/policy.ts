import type { Policy } from '../config/policies';
import type { Message } from '../mqtt/message';
import { matches } from '../mqtt/topic';

/** The first policy whose filter matches decides; none, or mode off, means that the topic is not ours. */
export function policyFor(policies: readonly Policy[], topic: string): Policy | null {
  const policy = policies.find(({ filter }) => matches(filter, topic));
  return policy === undefined || policy.mode === 'off' ? null : policy;
}

/** Whether any policy says something about the topic, `mode: off` included. */
export function isCovered(policies: readonly Policy[], topic: string): boolean {
  return policies.some(({ filter }) => matches(filter, topic));
}

/** What becomes of the topic's retained message; `mode` is about the others, so `off` there does not matter. */
export function retainOf(policies: readonly Policy[], topic: string): Policy['retain'] {
  return policies.find(({ filter }) => matches(filter, topic))?.retain ?? 'off';
}

/** Whether a published message is stored at all. */
export function isStored(policy: Policy, message: Pick<Message, 'qos'>): boolean {
  return message.qos > 0 || policy.storeQos0;
}

/** When a message must no longer be delivered: its own MQTT 5 expiry or the policy's ttl, whichever is first (promise 12). */
export function expiryOf(policy: Policy, message: Pick<Message, 'expiresAt' | 'publishReceivedAt'>): number {
  return Math.min(message.expiresAt ?? Infinity, message.publishReceivedAt + policy.ttlMs);
}

/** A retained message lives until it is replaced, deleted or expired by itself, as in EMQX: the ttl is for those that wait for somebody. */
export function retainedExpiryOf({ publishReceivedAt, properties: { messageExpiryInterval: seconds } }: Message): number | null {
  return seconds === undefined ? null : publishReceivedAt + seconds * 1000;
}
