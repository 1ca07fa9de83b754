import { groupBy } from '../../base/parallel';
import { split } from '../../base/split';
import type { MessageRef } from '../../mqtt/message';
import type { Settings } from './client';
import { list, number, text } from './literal';

/** The limits of keys in one statement, so that it is not too long for the parser. */
const KEYS_PER_STATEMENT = 1_000;
const BYTES_PER_STATEMENT = 1_048_576;
/** Up to this many topics are listed with their ids, so that each topic is in the statement only once. */
const FEW_TOPICS = 8;

/** A time behind all others (ms). It stands for no time. */
export const NEVER_MS = Number.MAX_SAFE_INTEGER;
/** The same as an expression. Old servers have no type for both an Int64 and a plain number. */
export const NEVER = `toInt64(${NEVER_MS})`;
/**
 * A removal removes every row of its message that was stored up to this time (microseconds), whichever of the two is
 * written first.
 */
export const COVERED = 'greatest(removed_at, until * 1000)';
/**
 * The time of a row of mqtt_retain (ms since 1970). A deletion that an older version wrote has no time except that of
 * its id.
 */
const RETAINED_AT = `ifNull(published_at, if(match(msgid, '^[0-9A-F]{32}$'), toInt64(intDiv(reinterpretAsUInt64(reverse(unhex(substring(msgid, 1, 16)))), 1000)), toInt64(0)))`;
/**
 * The order of a topic's rows in mqtt_retain. The row with the greatest rank counts. Ranks compare the time, then the
 * id; if both are equal, a deletion is greater than a message. All times have 15 digits.
 */
export const RETAINED_RANK = `concat(toString(100000000000000 + ${RETAINED_AT}), msgid, unhex('00'), toString(deleted))`;
/** A whole topic is grouped on disk instead of in memory. */
export const ON_DISK: Settings = { max_bytes_before_external_group_by: 200_000_000 };

export const keyOf = ({ topic, id }: MessageRef): string => `${id}\0${topic}`;

export function distinct<R extends MessageRef>(refs: readonly R[]): R[] {
  const first = new Map<string, R>();
  for (const ref of refs) if (!first.has(keyOf(ref))) first.set(keyOf(ref), ref);
  return [...first.values()];
}

/** A condition for exactly these messages. Both forms use the order of the tables, (topic, msgid). */
export function isOneOf(refs: readonly MessageRef[]): string {
  const byTopic = groupBy(refs, ({ topic }) => topic);
  if (byTopic.size > FEW_TOPICS) return `(topic, msgid) IN (${refs.map(({ topic, id }) => `(${text(topic)}, ${text(id)})`).join(', ')})`;
  const parts = [...byTopic].map(([topic, own]) => `(topic = ${text(topic)} AND msgid IN ${list(own.map(({ id }) => id))})`);
  return `(${parts.join(' OR ')})`;
}

/**
 * Splits a list into parts that fit into one statement.
 * @param lengthOf the bytes of an item in the statement.
 */
export function chunks<T>(items: readonly T[], lengthOf: (item: T) => number): T[][] {
  return split(items, KEYS_PER_STATEMENT, BYTES_PER_STATEMENT, lengthOf);
}

/** The messages that have a row in mqtt_msg that is not removed, expired or not. `where` uses only topic and msgid. */
export function visible(columns: 'msgid' | 'topic, msgid', where: string): string {
  return `SELECT ${columns}, max(s) AS stored, max(c) AS covered FROM (
      SELECT ${columns}, stored_at AS s, toUInt64(0) AS c FROM mqtt_msg WHERE ${where}
      UNION ALL SELECT ${columns}, toUInt64(0) AS s, ${COVERED} AS c FROM mqtt_removed
        WHERE ${where} AND (topic, msgid) IN (SELECT topic, msgid FROM mqtt_msg WHERE ${where})
    ) GROUP BY ${columns} HAVING stored > covered`;
}

/** Counts the stored messages, if all keys fit into memory. */
export const visibleCount = (where: string): string => `SELECT count() AS n FROM (${visible('topic, msgid', where)})`;

/** The newest id to remove, if the newest `keep` messages stay. */
export const tooMany = (topic: string, keep: number): string =>
  `${visible('msgid', `topic = ${text(topic)}`)} ORDER BY msgid DESC LIMIT ${number(keep)}, 1`;
