import { createHash } from 'node:crypto';

/**
 * Consumers: who has a mailbox, and a read position in pubsub mode. A clientid, or `$share/{group}` for all members of a shared subscription together.
 * All that happens to a consumer happens in one client lane. Pure functions.
 */

/** A client may call itself `$share/g`: it must not be taken for the group. */
export function clientConsumer(clientid: string): string {
  return /^\$(share|client)\//.test(clientid) ? `$client/${clientid}` : clientid;
}

/** Of a consumer that is a client. */
export function clientidOf(consumer: string): string {
  return consumer.startsWith('$client/') ? consumer.slice('$client/'.length) : consumer;
}

export const groupConsumer = (group: string): string => `$share/${group}`;

/** Names a consumer's mailbox in lanes, in the shared state and in marks: client ids may have 65,535 bytes, and are nobody else's business. */
export function mailboxKey(consumer: string): string {
  return createHash('sha256').update(consumer).digest('base64url').slice(0, 22);
}

export const clientKey = (clientid: string): string => mailboxKey(clientConsumer(clientid));

/** Of a client's request, which may be for a group. */
export function consumerOf({ clientid, consumer }: { readonly clientid: string; readonly consumer?: string }): string {
  return consumer ?? clientConsumer(clientid);
}
