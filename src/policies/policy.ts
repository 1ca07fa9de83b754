import type { Policy } from '../config/policies';
import type { Message } from '../mqtt/message';
import { matches } from '../mqtt/topic';

/**
 * The first policy whose filter matches decides. null if no policy matches, or if its mode is `off`: the server does
 * not store such a topic.
 */
export function policyFor(policies: readonly Policy[], topic: string): Policy | null {
  const policy = policies.find(({ filter }) => matches(filter, topic));
  return policy === undefined || policy.mode === 'off' ? null : policy;
}

/** Whether any policy matches the topic, even one with `mode: off`. */
export function isCovered(policies: readonly Policy[], topic: string): boolean {
  return policies.some(({ filter }) => matches(filter, topic));
}

/**
 * What the server does with the topic's retained message. `mode` concerns only other messages, so `off` does not matter
 * here.
 */
export function retainOf(policies: readonly Policy[], topic: string): Policy['retain'] {
  return policies.find(({ filter }) => matches(filter, topic))?.retain ?? 'off';
}

/** Whether the message is stored at all. */
export function isStored(policy: Policy, message: Pick<Message, 'qos'>): boolean {
  return message.qos > 0 || policy.storeQos0;
}

/**
 * When the message expires (ms): by its own MQTT 5 expiry or at the end of the policy's ttl, whichever is first
 * (promise 12).
 */
export function expiryOf(policy: Policy, message: Pick<Message, 'expiresAt' | 'publishReceivedAt'>): number {
  return Math.min(message.expiresAt ?? Infinity, message.publishReceivedAt + policy.ttlMs);
}

/**
 * A retained message lives until it is replaced, deleted or expired by its own expiry, as in EMQX. The policy's ttl
 * concerns only messages that wait for a subscriber.
 */
export function retainedExpiryOf({ publishReceivedAt, properties: { messageExpiryInterval: seconds } }: Message): number | null {
  return seconds === undefined ? null : publishReceivedAt + seconds * 1000;
}
