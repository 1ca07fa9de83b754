import { createHash } from 'node:crypto';
import { isStorableId } from '../../mqtt/message';
import { secondsToMs } from './rows';
import { numberOf, textOf, type Item } from './values';

/** A message of EMQX's with the id that it gets. */
export interface Change {
  readonly topic: string;
  readonly expiresAt: null;
  readonly old: string;
  readonly id: string;
}

export function changes(items: readonly Item[]): Change[] {
  const known = items.filter(({ topic }) => (textOf(topic) ?? '') !== '');
  return known.map((item) => {
    const id = textOf(item['msgid']) ?? '';
    return { topic: textOf(item['topic']) ?? '', expiresAt: null, old: id, id: isStorableId(id) ? id : newId(item, id) };
  });
}

/**
 * An id that sorts by the message's time: microseconds like EMQX's own ids, and a hash that distinguishes it from
 * others. It is always the same for one message.
 */
function newId(item: Item, old: string): string {
  return hexTime(item) + createHash('sha256').update(old).digest('hex').slice(0, 16).toUpperCase();
}

/** The time 0 if the item has none. The present time would differ between two servers. */
export function hexTime(item: Item): string {
  const ms = secondsToMs(numberOf(item['arrived'])) ?? 0;
  return (BigInt(Math.max(0, Math.round(ms))) * 1_000n).toString(16).toUpperCase().padStart(16, '0');
}
