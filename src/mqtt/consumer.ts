/**
 * Consumers: who has a read position in pubsub mode. A clientid, or `$share/{group}` for all members of a shared subscription together.
 * All that happens to a consumer's positions happens in one client lane, that of its name. Pure functions.
 */

/** A client may call itself `$share/g`: it must not be taken for the group. */
export function clientConsumer(clientid: string): string {
  return /^\$(share|client)\//.test(clientid) ? `$client/${clientid}` : clientid;
}

export const groupConsumer = (group: string): string => `$share/${group}`;

/** Of a client's request or acknowledgement, which may name a group. */
export function consumerOf(of: { readonly clientid: string; readonly consumer?: string } | { readonly consumer: string }): string {
  return of.consumer ?? clientConsumer('clientid' in of ? of.clientid : '');
}
