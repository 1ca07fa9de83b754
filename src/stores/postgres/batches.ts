import type { Message } from '../../mqtt/message';
import { split } from '../../base/split';
import { firstOfEachId } from '../shared/first-of-each';

/** The most bytes of payloads and topics in a statement. Beyond this size a batch gains nothing, and the server copies it several times. */
const MOST_BYTES = 4 * 1_048_576;

/** Each message once, in batches that one statement saves. A message that is larger than a batch has one of its own. */
export function batchesOf(messages: readonly Message[]): Message[][] {
  return split(firstOfEachId(messages), Infinity, MOST_BYTES, ({ payload, topic }) => payload.length + topic.length);
}
