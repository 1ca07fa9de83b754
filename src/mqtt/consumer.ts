import { createHash } from 'node:crypto';

/**
 * Consumers have a mailbox, and a read position in pubsub mode. A consumer is a clientid, or `$share/{group}` for all
 * members of a shared subscription together. Everything that happens to a consumer happens in one client lane. All
 * functions are pure.
 */

/** A client may be called `$share/g`, and must not be taken for the group. */
export function clientConsumer(clientid: string): string {
  return /^\$(share|client)\//.test(clientid) ? `$client/${clientid}` : clientid;
}

/** The clientid of a consumer that is a client. */
export function clientidOf(consumer: string): string {
  return consumer.startsWith('$client/') ? consumer.slice('$client/'.length) : consumer;
}

export const groupConsumer = (group: string): string => `$share/${group}`;

/**
 * The name of a consumer's mailbox in lanes, in the shared state and in marks. It is a hash, because client ids may
 * have 65,535 bytes and should not be visible to other clients.
 */
export function mailboxKey(consumer: string): string {
  return createHash('sha256').update(consumer).digest('base64url').slice(0, 22);
}

export const clientKey = (clientid: string): string => mailboxKey(clientConsumer(clientid));

/** The consumer of a client's request, which may be a group. */
export function consumerOf({ clientid, consumer }: { readonly clientid: string; readonly consumer?: string }): string {
  return consumer ?? clientConsumer(clientid);
}
