import { eachOf } from '../../base/parallel';
import type { MessageRef } from '../../mqtt/message';
import { isWildcard } from '../../mqtt/topic';
import { compact, coverUntil, mayCover, type List } from './compaction';
import { FILTERS, markOf, startOf, type Known, type ReadRef } from './known';
import { ReadSet } from './read-set';

/** A mark that was lost would hide late writes: kept as long as anybody may come back. ms. */
const MARK_TTL_MS = 366 * 86_400_000;
/** Topics that are looked at side by side. */
const WIDTH = 4;

/** One consumer's positions during one pass of its lane. */
export interface ConsumerPositions {
  /** From the first subscription on the consumer is known. `filter` is without `$share/...`; `at` is EMQX's time. */
  subscribed(filter: string, at: number): Promise<void>;
  read(refs: readonly ReadRef[]): Promise<void>;
  /** These were stored although the consumer's position may have passed them (promise 17). */
  late(refs: readonly MessageRef[]): Promise<void>;
  /** What the consumer has read of each of the topics, in their order; `filters` as in ReadRef. */
  sets(topics: readonly string[], filters: readonly string[]): Promise<ReadSet[]>;
  /** The greatest of the rows that were read so far; 0: none. */
  readonly version: number;
  readonly isChanged: boolean;
  /** Writes what changed. The consumer's mailbox was saved by compare-and-set with this version just before: who lost does not come here. */
  save(version: number): Promise<void>;
}

interface Row {
  readonly set: ReadSet;
  /** What the row says that is stored. */
  readonly mayCover: boolean;
}

/** Rows are read when they are asked for, once. Calling a method twice has the effect of once. */
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
    // Of a wildcard filter each topic's policy decides later.
    if (row === null && (isWildcard(filter) || this.known.policyOf(filter).from === 'now')) set.startsAt = at;
    // Events come in any order: the first subscription is the one that was made first.
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
   * The row is written with a new version though it may say the same: a process that stood still may have listed what is stored before the message
   * was, and must not write what it covers any more.
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
    // Known to the purge before anything is. Nobody's row but the filter's: no version.
    const seen = `@${this.known.now()}`;
    if (this.filters.size > 0)
      await this.known.store.putPositions([...this.filters].map((topic) => ({ consumer: FILTERS, topic, id: '', receipts: [seen] })));
    if (this.changed.size > 0) await this.known.store.putPositions([...this.changed].map((set) => set.toPosition(version)));
    this.filters.clear();
    this.changed.clear();
    this.version = Math.max(this.version, version);
  }

  /** First the mark, then the look (LateWrites says why). */
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

  /** What holds for a topic that has no row the rows of the filters say. */
  private setOf(topic: string, filters: readonly string[]): ReadSet {
    const rows = filters.flatMap((filter) => this.row(filter)?.set ?? []);
    return this.row(topic)?.set ?? startOf(this.consumer, topic, this.known.policyOf(topic), rows);
  }

  private change(set: ReadSet): void {
    this.changed.add(set);
    if (this.row(set.topic) === null) this.rows.set(set.topic, { set, mayCover: false });
  }

  /** @returns whether it is worth writing. */
  private see(set: ReadSet): boolean {
    const now = this.known.now();
    if (set.seenAt !== null && now - set.seenAt < this.known.refreshMs) return false;
    set.seenAt = now;
    return true;
  }
}
