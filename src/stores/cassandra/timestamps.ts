import { RetryableError } from '../../base/errors';
import { isTimed } from '../../mqtt/message-id';

/**
 * Cassandra keeps for each row the write with the greatest timestamp, whatever the order in which the writes arrive. The
 * timestamps here keep a removed message away (promises 2 and 3), and a new message needs no read for that.
 *
 * - A message is fresh if its id says that it was published at most FRESH_MS ago. Its timestamp is the time in its id.
 *   A removal knows the id, too, and has a later timestamp. So the removed message is hidden whether its removal arrives
 *   before it or after it, and so is its second publish. This holds whatever the clocks of EMQX and of the servers say.
 * - Every other message is late, for example because the queue has waited for the database. It has the present time as
 *   its timestamp, because Heads, which deletes ranges of the past, must not hide it. The store looks for its tombstone
 *   and for the message itself before it writes. A removal that has arrived before this look is found. A removal that
 *   arrives after this look was sent at most LANDED_MS before it, so its timestamp, which is LEAD_MS ahead, is the later
 *   one, and hides what is written.
 *
 * For late messages and for Heads the servers' clocks must differ by less than SKEW_MS. (health() complains when a
 * server's clock and Cassandra's differ by half of it.) And each write must arrive within LANDED_MS of the time of its
 * timestamp. A call that took longer fails, and its caller repeats it with new timestamps.
 */
export const FRESH_MS = 15_000;
/** EMQX's clock may be ahead by this much. If it is ahead by more, its messages count as late. */
const AHEAD_MS = 10_000;
const LANDED_MS = 20_000;
const SKEW_MS = 20_000;
const LEAD_MS = LANDED_MS + SKEW_MS;
/** What was written longer ago than this may be deleted as a range, because nobody writes with so old a timestamp. */
export const GUARD_MS = FRESH_MS + LANDED_MS + SKEW_MS + 5_000;

/** The time in the id (microseconds); null if the id has none. */
function timeIn(id: string): number | null {
  return isTimed(id) ? parseInt(id.slice(0, 16), 16) : null;
}

/**
 * The timestamp of a fresh message (microseconds); null if the message is late. It is the time in the id and up to 25 ms
 * more, the less the later the message is saved. So the first of two saves with the same id has the greater timestamp.
 */
export function freshTimestamp(id: string, now: number): number | null {
  const time = timeIn(id);
  if (time === null) return null;
  const age = now - time / 1_000;
  return age <= FRESH_MS && age >= -AHEAD_MS ? time + Math.floor(FRESH_MS - age) : null;
}

/**
 * The timestamp (microseconds) of a removal whose tombstones last until `until` (ms). It is later than the timestamp of
 * every save of these messages, now or as long as the tombstones last.
 */
export function removalTimestamp(ids: readonly string[], until: number, present: number): number {
  const latest = (until + AHEAD_MS + SKEW_MS) * 1_000;
  const times = ids.map((id) => Math.min(timeIn(id) ?? 0, latest) + (FRESH_MS + AHEAD_MS) + 1);
  return Math.floor(Math.max(present + LEAD_MS * 1_000, ...times));
}

/** @throws RetryableError if writes whose timestamps were made at `start` (ms) may have arrived too late. */
export function checkLanded(start: number): void {
  if (Date.now() - start > LANDED_MS) throw new RetryableError('Cassandra took too long to write messages');
}
