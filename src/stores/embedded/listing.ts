import { numberKey } from '../../embedded/keys';
import { prefixed } from '../../embedded/table';
import { behind } from './database';
import { bytesOf, idOf, messageKey, placeOf, textOf } from './ids';
import type { MessageTables } from './message-tables';
import { expiresAt, publishReceivedAt } from './rows';

/** A message as the index by topic knows it. */
export interface Listed {
  readonly id: Buffer;
  /** Infinity if it never expires. */
  readonly expiresAt: number;
  readonly publishReceivedAt: number;
  /** Whether the log must be asked if the message is stored: the transaction that saves it may not be committed yet. */
  readonly isRecent: boolean;
}

/**
 * The topic's messages with greater ids than `after`: first the messages in the index, then the recent ones, whose ids
 * are greater. A message that a transaction is putting into the index at this moment is still among the recent ones.
 */
export function* idsBehind({ byTopic, recent }: MessageTables, topic: number, after: string): Generator<Listed> {
  recent.load();
  let last = placeOf(after);
  const key = messageKey(topic, last);
  for (const entry of prefixed(byTopic, numberKey(topic), { from: last.length === 0 ? key : behind(key) })) {
    last = idOf(entry.key);
    yield { id: last, expiresAt: expiresAt(entry.value), publishReceivedAt: publishReceivedAt(entry.value), isRecent: false };
  }
  for (const { text, expiresAt, publishReceivedAt } of recent.of(topic, textOf(last)))
    yield { id: bytesOf(text), expiresAt, publishReceivedAt, isRecent: true };
}
