import type { Position, Purged, StateTimes } from '../store';

const DAY_MS = 24 * 60 * 60_000;
/** The rows of one page. */
const PAGE = 500;
/** A sweep checks at most this many times as many rows as it may remove. */
const LOOKS = 10;

/**
 * When the position's consumer was last seen (ms), rounded up to the day. A value that changed with every
 * acknowledgement would make each acknowledgement update an index.
 */
export function seenDay({ receipts }: Pick<Position, 'receipts'>, now: number): number {
  const entry = receipts.find((each) => each.startsWith('@'));
  const seen = entry === undefined ? NaN : Number(entry.slice(1));
  return Math.ceil((Number.isFinite(seen) ? seen : now) / DAY_MS) * DAY_MS;
}

/** Whether the state is old enough to be purged. */
export function isOver({ connected, at }: { readonly connected: boolean; readonly at: number }, before: StateTimes): boolean {
  return at <= (connected ? before.connected : before.disconnected);
}

/** Whether the client is connected, or was since `before`. */
export function isThere(state: { readonly connected: boolean; readonly at: number } | null, before: number): boolean {
  return state !== null && (state.connected || state.at > before);
}

/**
 * Goes through a table page by page, for databases without an index by time. One run checks a limited number of rows,
 * and the next run continues there.
 */
export class Sweep<Row, Cursor> {
  private cursor: Cursor | null = null;

  constructor(
    private readonly page: (
      cursor: Cursor | null,
      size: number,
    ) => Promise<{ readonly rows: readonly Row[]; readonly next: Cursor | null }>,
  ) {}

  /** @param purge removes the rows that are due, and returns their number. */
  async run(limit: number, purge: (rows: readonly Row[]) => Promise<number>): Promise<Purged> {
    let removed = 0;
    for (let looked = 0; looked < limit * LOOKS && removed < limit;) {
      const size = Math.min(PAGE, limit - removed);
      const { rows, next } = await this.page(this.cursor, size);
      removed += await purge(rows);
      looked += size;
      this.cursor = next;
      if (next === null) return { removed, more: false };
    }
    return { removed, more: removed >= limit };
  }
}
