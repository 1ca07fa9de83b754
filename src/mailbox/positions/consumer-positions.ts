import { eachOf } from '../../base/parallel';
import type { MessageRef } from '../../mqtt/message';
import { isWildcard } from '../../mqtt/topic';
import { compact, coverUntil, mayCover, type List } from './compaction';
import { FILTERS, markOf, startOf, type Known, type ReadRef } from './known';
import { ReadSet } from './read-set';

/**
 * How long the mark of a topic is kept (ms): as long as any consumer may come back. If a mark were lost, late writes
 * would stay hidden.
 */
const MARK_TTL_MS = 366 * 86_400_000;
/** How many topics are compacted in parallel. */
const WIDTH = 4;

/** One consumer's positions during one pass of its lane. */
export interface ConsumerPositions {
  /**
   * Notes the consumer as a reader, from its first subscription on. `filter` is without `$share/...`; `at` is EMQX's
   * time (ms).
   */
  subscribed(filter: string, at: number): Promise<void>;
  read(refs: readonly ReadRef[]): Promise<void>;
  /** Notes messages that were stored although the consumer's position may have passed them (promise 17). */
  late(refs: readonly MessageRef[]): Promise<void>;
  /** What the consumer has read of each topic, in the order of the topics. `filters` are as in ReadRef. */
  sets(topics: readonly string[], filters: readonly string[]): Promise<ReadSet[]>;
  /** The greatest version of the rows that were read so far; 0 if there are none. */
  readonly version: number;
  readonly isChanged: boolean;
  /**
   * Writes the rows that changed. Just before, the consumer's mailbox was saved by compare-and-set with this version,
   * so a process that lost that race does not write positions.
   */
  save(version: number): Promise<void>;
}

interface Row {
  readonly set: ReadSet;
  /** Whether the row, as it is stored, allows a compaction (see mayCover). */
  readonly mayCover: boolean;
}

/** Reads each row once, when it is first needed. Calling a method twice has the effect of one call. */
export class OpenPositions implements ConsumerPositions {
  /** By topic or filter; null: there is no row. */
  private readonly rows = new Map<string, Row | null>();
  private readonly changed = new Set<ReadSet>();
  private readonly filters = new Set<string>();
  version = 0;

  constructor(
    private readonly consumer: string,
    private readonly known: Known,
  ) {}

  get isChanged(): boolean {
    return this.changed.size > 0;
  }

  async subscribed(filter: string, at: number): Promise<void> {
    await this.load([filter]);
    const row = this.row(filter);
    const set = row?.set ?? new ReadSet(this.consumer, filter);
    // For a wildcard filter the start is always noted, because each topic's policy decides later whether it counts.
    if (row === null && (isWildcard(filter) || this.known.policyOf(filter).from === 'now')) set.startsAt = at;
    // Events arrive in any order, so the earliest time counts.
    const isEarlier = set.startsAt !== null && at < set.startsAt;
    if (isEarlier) set.startsAt = at;
    if (!this.see(set) && !isEarlier) return;
    if (isWildcard(filter)) this.filters.add(filter);
    this.change(set);
  }

  async sets(topics: readonly string[], filters: readonly string[]): Promise<ReadSet[]> {
    await this.load([...topics, ...filters]);
    return topics.map((topic) => this.setOf(topic, filters));
  }

  async read(refs: readonly ReadRef[]): Promise<void> {
    if (refs.length === 0) return;
    await this.load(refs.flatMap(({ topic, filters }) => [topic, ...filters]));
    const now = this.known.now();
    const sets = new Map<string, ReadSet>();
    for (const { topic, id, filters } of refs) {
      const set = sets.get(topic) ?? this.setOf(topic, filters);
      sets.set(topic, set);
      set.add(id, now);
      set.seenAt = now;
      this.change(set);
    }
    await this.compact([...sets.values()].filter(({ topic }) => this.row(topic)?.mayCover === true));
    for (const filter of new Set(refs.flatMap(({ filters }) => filters))) {
      const row = this.row(filter);
      if (row !== null && this.see(row.set)) this.changed.add(row.set);
    }
  }

  /**
   * The row gets a new version even if its content stays the same. A process that stood still may have listed the
   * stored messages before this one was stored; it must no longer write its ranges.
   */
  async late(refs: readonly MessageRef[]): Promise<void> {
    await this.load(refs.map(({ topic }) => topic));
    for (const { topic, id } of refs) {
      const set = this.row(topic)?.set;
      if (set === undefined) continue;
      set.addLate(id, this.known.now());
      this.changed.add(set);
    }
  }

  async save(version: number): Promise<void> {
    for (const set of this.changed) set.tidy(this.known.now(), this.known.policyOf(set.topic).ttlMs);
    // The filter's row is written first, so that the purge knows the filter before it knows any reader. This row
    // belongs to no consumer, so it has no version.
    const seen = `@${this.known.now()}`;
    if (this.filters.size > 0)
      await this.known.store.putPositions([...this.filters].map((topic) => ({ consumer: FILTERS, topic, id: '', receipts: [seen] })));
    if (this.changed.size > 0) await this.known.store.putPositions([...this.changed].map((set) => set.toPosition(version)));
    this.filters.clear();
    this.changed.clear();
    this.version = Math.max(this.version, version);
  }

  /** Raises the mark first, then lists the stored messages (LateWrites says why). */
  private async compact(sets: readonly ReadSet[]): Promise<void> {
    const due: { set: ReadSet; until: string; list: List }[] = [];
    const now = this.known.now();
    await eachOf(sets, WIDTH, async (set) => {
      const list: List = (after, limit) => this.known.store.listRefs({ topic: set.topic, after, limit, now });
      const until = await coverUntil(set, list, now, this.known.loose);
      if (until !== null) due.push({ set, until, list });
    });
    if (due.length === 0) return;
    await this.known.state.raise(
      due.map(({ set, until }) => ({ key: markOf(set.topic), value: until })),
      MARK_TTL_MS,
    );
    await eachOf(due, WIDTH, ({ set, until, list }) => compact(set, until, list, this.known.now));
  }

  private async load(topics: readonly string[]): Promise<void> {
    const missing = [...new Set(topics)].filter((topic) => !this.rows.has(topic));
    if (missing.length === 0) return;
    const found = await this.known.store.getPositions(this.consumer, missing);
    for (const topic of missing) this.rows.set(topic, null);
    for (const position of found) {
      const set = ReadSet.of(position);
      this.rows.set(position.topic, { set, mayCover: mayCover(set, this.known.loose) });
      this.version = Math.max(this.version, position.version ?? 0);
    }
  }

  private row(topic: string): Row | null {
    return this.rows.get(topic) ?? null;
  }

  /** A topic without a row of its own gets its start from the rows of the filters. */
  private setOf(topic: string, filters: readonly string[]): ReadSet {
    const rows = filters.flatMap((filter) => this.row(filter)?.set ?? []);
    return this.row(topic)?.set ?? startOf(this.consumer, topic, this.known.policyOf(topic), rows);
  }

  private change(set: ReadSet): void {
    this.changed.add(set);
    if (this.row(set.topic) === null) this.rows.set(set.topic, { set, mayCover: false });
  }

  /** @returns whether the new time is worth writing. */
  private see(set: ReadSet): boolean {
    const now = this.known.now();
    if (set.seenAt !== null && now - set.seenAt < this.known.refreshMs) return false;
    set.seenAt = now;
    return true;
  }
}
