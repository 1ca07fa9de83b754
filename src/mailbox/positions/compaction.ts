import type { StoredRef } from '../../stores/store';
import { before, isTimed } from '../../mqtt/message-id';
import { floorOf } from './id-list';
import { greater, type ReadSet } from './read-set';

/** Ids that are in no range: it is not worth a look to have fewer. */
export const LOOSE = 32;
/** Publishes of the last moment still come in any order: what is covered is older, so that few messages are stored late. ms. */
const SETTLED_MS = 300;
/** More than so many are covered whatever their age: EMQX's clock may be ahead of ours. */
const MOST_UNSETTLED = 2_000;
/** Refs of one look, and looks of one compaction. */
const PAGE = 1_000;
const PAGES = 16;

/** What is stored after an id, in order. */
export type List = (after: string, limit: number) => Promise<readonly StoredRef[]>;

/**
 * Whether the next pass of the consumer may cover something. It does so only when its row, as it is stored, says so: whoever reads the row sees that
 * a pass may be at work which has listed what is stored and not yet written what it covers (LateWrites).
 */
export const mayCover = (set: ReadSet, loose = LOOSE): boolean => set.fresh.size >= loose;

/** Up to where it is worth to cover: to an id that was read, is settled, and behind which something is stored. null: it is not. */
export async function coverUntil(set: ReadSet, list: List, now: number, loose = LOOSE): Promise<string | null> {
  const read = [...set.fresh].sort();
  const floor = floorOf(now - SETTLED_MS);
  const settled = read.filter((id, i) => i < read.length - MOST_UNSETTLED || id < floor || !isTimed(id));
  const [first, last] = [settled[0], settled.at(-1)];
  if (settled.length < loose || first === undefined || last === undefined) return null;
  if ((await list(before(last), 1)).length > 0) return last;
  // Acknowledgements are ahead of what is stored: passing it now would make all of it late.
  const stored = (await list(before(first), PAGE)).at(-1);
  return settled.filter((id) => stored !== undefined && id <= stored.id).at(-1) ?? null;
}

/**
 * Makes ranges of what is read in a row, up to `until`. What is unread is stepped over without reading all of it, so that a long backlog costs nothing.
 * The shared mark must have been raised to `until` before.
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
      // On from the range before it, if it is on this side of the gap.
      const near = set.endBefore(id);
      end = near !== null && near > ref.id ? near : null;
      after = end ?? greater(ref.id, before(id));
    }
    if (stored.length < limit) return set.looked(wanted);
  }
  set.looked(wanted.filter((id) => id <= after));
}
