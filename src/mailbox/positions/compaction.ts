import type { StoredRef } from '../../stores/store';
import { before, isTimed } from '../../mqtt/message-id';
import { floorOf } from './id-list';
import { greater, type ReadSet } from './read-set';

/** A compaction is worth its reads only if at least this many ids are in no range. */
export const LOOSE = 32;
/**
 * Publish events of the last moment may still arrive in any order. Only ids that are older than this (ms) are taken
 * into ranges, so that few messages count as late.
 */
const SETTLED_MS = 300;
/**
 * If more ids than this are fresh, the oldest of them are taken into ranges whatever their age, because EMQX's clock
 * may be ahead of the server's.
 */
const MOST_UNSETTLED = 2_000;
/** Messages that one read lists, and reads of one compaction. */
const PAGE = 1_000;
const PAGES = 16;

/** Lists the messages that are stored after an id, in order. */
export type List = (after: string, limit: number) => Promise<readonly StoredRef[]>;

/**
 * Whether the consumer's next pass may extend its ranges. The pass does so only if the stored row says so. A writer
 * that reads the row then knows: a pass may be at work that has listed the stored messages and not yet written its new
 * ranges (LateWrites).
 */
export const mayCover = (set: ReadSet, loose = LOOSE): boolean => set.fresh.size >= loose;

/**
 * The id up to which ranges should be extended: it was read, is old enough, and a message at or after it is stored.
 * null if a compaction is not worth it.
 */
export async function coverUntil(set: ReadSet, list: List, now: number, loose = LOOSE): Promise<string | null> {
  const read = [...set.fresh].sort();
  const floor = floorOf(now - SETTLED_MS);
  const settled = read.filter((id, i) => i < read.length - MOST_UNSETTLED || id < floor || !isTimed(id));
  const [first, last] = [settled[0], settled.at(-1)];
  if (settled.length < loose || first === undefined || last === undefined) return null;
  if ((await list(before(last), 1)).length > 0) return last;
  // The client's acknowledgements are ahead of the stored messages. Ranges must not pass the last stored message,
  // because all messages that are stored next would count as late.
  const stored = (await list(before(first), PAGE)).at(-1);
  return settled.filter((id) => stored !== undefined && id <= stored.id).at(-1) ?? null;
}

/**
 * Makes ranges of ids that were read one after the other, up to `until`. Unread messages are skipped without reading
 * all of them, so that a long backlog costs nothing. The caller must have raised the shared mark to `until` before.
 */
export async function compact(set: ReadSet, until: string, list: List, now: () => number): Promise<void> {
  const wanted = [...set.fresh].filter((id) => id <= until).sort();
  if (wanted[0] === undefined) return;
  const limit = Math.min(PAGE, wanted.length + 64);
  let end = set.endBefore(wanted[0]);
  let after = end ?? '';
  let next = 0;
  for (let page = 0; page < PAGES; page++) {
    const stored = await list(after, limit);
    for (const ref of stored) {
      if (ref.id > until) return set.looked(wanted);
      if (ref.id <= after) continue;
      if (set.has(ref)) {
        after = end = set.cover(end, ref.id, now());
        continue;
      }
      while (next < wanted.length && (wanted[next] as string) <= ref.id) next++;
      const id = wanted[next];
      if (id === undefined) return set.looked(wanted);
      // Continues from the range before the id, if that range lies after the unread message.
      const near = set.endBefore(id);
      end = near !== null && near > ref.id ? near : null;
      after = end ?? greater(ref.id, before(id));
    }
    if (stored.length < limit) return set.looked(wanted);
  }
  set.looked(wanted.filter((id) => id <= after));
}
