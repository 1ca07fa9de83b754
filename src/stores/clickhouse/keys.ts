import type { MessageRef } from '../../mqtt/message';
import type { Client, Settings } from './client';
import { list, number, text } from './literal';

/** The limits of keys in one statement, so that it is not too long for the parser. */
const KEYS_PER_STATEMENT = 1_000;
const BYTES_PER_STATEMENT = 1_048_576;
/** Up to this many topics are listed with their ids, so that each topic is in the statement only once. */
const FEW_TOPICS = 8;

/** The state of one topic and msgid. */
export interface KeyState extends MessageRef {
  /** stored_at of the rows that are not removed. There are several only if they were saved at the same time. */
  readonly stored: readonly number[];
  /** Everything that was stored up to this time (microseconds) is removed. */
  readonly covered: number;
  /** The id must not come back before this time (ms). */
  readonly until: number;
  /**
   * stored_at of removed rows that no removal names. They were written after the removal, and purging does not know
   * them yet.
   */
  readonly orphans: readonly number[];
}

/** Everything that was stored before this time (microseconds) is removed. */
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
  const byTopic = new Map<string, string[]>();
  for (const { topic, id } of refs) {
    const ids = byTopic.get(topic);
    if (ids === undefined) byTopic.set(topic, [id]);
    else ids.push(id);
  }
  if (byTopic.size > FEW_TOPICS) return `(topic, msgid) IN (${refs.map(({ topic, id }) => `(${text(topic)}, ${text(id)})`).join(', ')})`;
  const parts = [...byTopic].map(([topic, ids]) => `(topic = ${text(topic)} AND msgid IN ${list(ids)})`);
  return `(${parts.join(' OR ')})`;
}

/**
 * Splits a list into parts that fit into one statement.
 * @param lengthOf the bytes of an item in the statement.
 */
export function chunks<T>(items: readonly T[], lengthOf: (item: T) => number): T[][] {
  const parts: T[][] = [];
  let bytes = 0;
  for (const item of items) {
    const last = parts.at(-1);
    bytes += lengthOf(item);
    if (last === undefined || last.length >= KEYS_PER_STATEMENT || bytes > BYTES_PER_STATEMENT) {
      parts.push([item]);
      bytes = lengthOf(item);
    } else last.push(item);
  }
  return parts;
}

/**
 * The rows of mqtt_msg, by topic and msgid, that are not removed. `where` uses only topic and msgid, `also` only other
 * columns.
 */
export function visible(columns: 'msgid' | 'topic, msgid', where: string, also = '1'): string {
  return `SELECT ${columns}, max(s) AS stored, max(c) AS covered FROM (
      SELECT ${columns}, stored_at AS s, toUInt64(0) AS c FROM mqtt_msg WHERE ${where} AND ${also}
      UNION ALL SELECT ${columns}, toUInt64(0) AS s, ${COVERED} AS c FROM mqtt_removed
        WHERE ${where} AND (topic, msgid) IN (SELECT topic, msgid FROM mqtt_msg WHERE ${where})
    ) GROUP BY ${columns} HAVING stored > covered`;
}

/** What is stored and what is removed under these keys. Unknown keys are left out. */
export async function states(db: Client, refs: readonly MessageRef[]): Promise<Map<string, KeyState>> {
  const found = new Map<string, KeyState>();
  for (const chunk of chunks(refs, ({ topic, id }) => 2 * (topic.length + id.length))) {
    const where = isOneOf(chunk);
    const rows = await db.rows<{ topic: string; msgid: string; stored: number[]; covered: number; ended: number; named: number[] }>(
      `SELECT topic, msgid, groupUniqArray(s) AS stored, max(c) AS covered, max(u) AS ended, groupUniqArray(r) AS named FROM (
         SELECT topic, msgid, stored_at AS s, toUInt64(0) AS c, toUInt64(0) AS u, toUInt64(0) AS r FROM mqtt_msg WHERE ${where}
         UNION ALL SELECT topic, msgid, toUInt64(0) AS s, ${COVERED} AS c, until AS u, stored_at AS r FROM mqtt_removed WHERE ${where}
       ) GROUP BY topic, msgid`,
    );
    for (const { topic, msgid: id, stored, covered, ended, named } of rows) {
      const living = stored.filter((at) => at > covered).sort((a, b) => a - b);
      const orphans = stored.filter((at) => at <= covered && !named.includes(at));
      found.set(keyOf({ topic, id }), { topic, id, stored: living, covered, until: ended, orphans });
    }
  }
  return found;
}

/** Counts the stored messages, if all keys fit into memory. */
export const visibleCount = (where: string): string => `SELECT count() AS n FROM (${visible('topic, msgid', where)})`;

/** The newest id to remove, if the newest `keep` messages stay. */
export const tooMany = (topic: string, keep: number): string =>
  `${visible('msgid', `topic = ${text(topic)}`)} ORDER BY msgid DESC LIMIT ${number(keep)}, 1`;
