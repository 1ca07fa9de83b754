import { isTimed } from '../../mqtt/message-id';
import { listed } from './rows';

/** A smaller batch has so few ids that looking for each of them is as fast. */
const FEWEST = 32;
/** Ids with a longer pause between them (microseconds) belong to different ranges. */
const PAUSE_US = 20_000;
/** The time that all ranges of a batch together may last (microseconds), because it limits how many tombstones are in them. */
const LONGEST_US = 200_000;
const MOST_RANGES = 8;
/** EMQX's ids begin with the time in microseconds. */
const TIME_DIGITS = 16;

type Range = readonly [first: string, last: string];

export const burial = (ids: readonly string[], until: number): string =>
  `INSERT INTO mqtt_tombstone (msgid, expires_at) VALUES ${ids.map((id) => `(${listed([id])},${until})`).join(',')}
   ON DUPLICATE KEY UPDATE expires_at = GREATEST(expires_at, VALUES(expires_at))`;

/** The tombstones are read first, because there are few. */
export const deletionOfBuried = (ids: readonly string[], now: number): string =>
  `DELETE mqtt_msg FROM mqtt_tombstone STRAIGHT_JOIN mqtt_msg ON mqtt_msg.msgid = mqtt_tombstone.msgid
   WHERE ${isOneOf(ids)} AND mqtt_tombstone.expires_at > ${now}`;

/**
 * The messages of a batch were published one after the other, so few tombstones lie between the first and the last id.
 * It takes a third of the time to read these as it takes to look for 256 ids. The database uses no index for CONCAT(...).
 */
function isOneOf(ids: readonly string[]): string {
  const ranges = rangesOf(ids);
  if (ranges === null) return `mqtt_tombstone.msgid IN (${listed(ids)})`;
  const between = ranges.map((range) => `mqtt_tombstone.msgid BETWEEN ${range.map((id) => listed([id])).join(' AND ')}`);
  return `(${between.join(' OR ')}) AND CONCAT(mqtt_tombstone.msgid) IN (${listed(ids)})`;
}

/** The ids with which each range begins and ends, or null if the ids are too few or too far from each other in time. */
export function rangesOf(ids: readonly string[]): Range[] | null {
  if (ids.length < FEWEST || !ids.every(isTimed)) return null;
  const ranges: [first: string, last: string][] = [];
  let length = 0;
  for (const id of [...ids].sort()) {
    const range = ranges.at(-1);
    const pause = range === undefined ? Infinity : microsecondsOf(id) - microsecondsOf(range[1]);
    if (range === undefined || pause > PAUSE_US) ranges.push([id, id]);
    else {
      range[1] = id;
      length += pause;
    }
  }
  return ranges.length <= MOST_RANGES && length <= LONGEST_US ? ranges : null;
}

const microsecondsOf = (id: string): number => parseInt(id.slice(0, TIME_DIGITS), 16);
