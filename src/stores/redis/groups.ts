import { groupBy } from '../../base/parallel';
import type { Message, MessageRef } from '../../mqtt/message';
import { split } from '../../base/split';
import { firstOfEachId } from '../shared/first-of-each';

/** A request has at most this many messages, so that no script keeps Redis from others for more than a few ms. */
export const MESSAGES_AT_ONCE = 256;
/** A request has at most this many bytes of payload, or one message. */
const BYTES_AT_ONCE = 512 * 1_024;

/** The messages in the order of the list, each id once. */
export function inRequests(messages: readonly Message[]): Message[][] {
  return split(firstOfEachId(messages), MESSAGES_AT_ONCE, BYTES_AT_ONCE, ({ payload }) => payload.length);
}

/** The list in parts that fit into a request each. */
export function slices<T>(list: readonly T[]): T[][] {
  return split(list, MESSAGES_AT_ONCE);
}

export function byTopic<T extends MessageRef>(refs: readonly T[]): [topic: string, refs: T[]][] {
  return [...groupBy(refs, ({ topic }) => topic)];
}
