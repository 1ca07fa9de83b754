import { createHash } from 'node:crypto';
import type { Policy } from '../../config/policies';
import type { Lanes } from '../../lanes/lanes';
import type { SharedState } from '../../lanes/state';
import type { Store } from '../../stores/store';
import type { MessageRef } from '../../mqtt/message';
import { timeOf } from '../../mqtt/message-id';
import { policyFor } from '../../policies/policy';
import { ReadSet } from './read-set';
import { ANNOUNCED_MS } from '../times';
import { isWildcard } from '../../mqtt/topic';

/** Messages that are looked at in one read (1 MB each at most), and reads of one update. */
const PAGE = 32;
const PAGES = 32;
/** Ids that are in no range: it is not worth a read to have fewer. */
const LOOSE = 32;
/** Publishes of the last moment still come in any order: what is announced is older, so that few of them are late. ms. */
const SETTLED_MS = 1_000;
/** A mark that was lost would hide late writes: kept as long as anybody may come back. ms. */
const MARK_TTL_MS = 366 * 86_400_000;
const HOUR_MS = 3_600_000;

/** Lists the wildcard filters that have consumers, as its positions' topics. No group has an empty name. */
export const FILTERS = '$share/';

export interface PositionsDeps {
  readonly store: Pick<Store, 'getPositions' | 'putPositions' | 'listMessages'>;
  readonly state: Pick<SharedState, 'raise'>;
  readonly lanes: Pick<Lanes, 'forget'>;
  readonly policies: readonly Policy[];
  readonly now: () => number;
}

/** A message that was read; `filters` are the consumer's wildcard filters that match its topic. */
export interface ReadRef extends MessageRef {
  readonly filters: readonly string[];
}

/**
 * Read positions (pubsub mode). Each method reads and writes one consumer's positions without a lock: all are called in the consumer's
 * lane only. Calling one twice has the effect of once.
 *
 * A consumer also has a row for each wildcard filter that it subscribed to, with nothing but its times: of topics that have no row of
 * their own yet it tells since when the consumer reads them, and that nothing of them is read.
 */
export class Positions {
  private readonly refreshMs: number;

  constructor(
    private readonly deps: PositionsDeps,
    private readonly maxLoose = LOOSE,
  ) {
    const ttls = deps.policies.filter(({ mode }) => mode === 'pubsub').map(({ ttlMs }) => ttlMs);
    this.refreshMs = Math.min(HOUR_MS, ...ttls.map((ttl) => ttl / 4));
  }

  /** From the first subscription on the consumer is known. `filter` is without `$share/...`; `at` is EMQX's time. */
  async subscribed(consumer: string, filter: string, at: number): Promise<void> {
    const [row] = await this.deps.store.getPositions(consumer, [filter]);
    const set = row === undefined ? new ReadSet(consumer, filter) : ReadSet.of(row);
    // Of a wildcard filter each topic's policy decides later.
    if (row === undefined && (isWildcard(filter) || this.policyOf(filter).from === 'now')) set.startsAt = at;
    // Events come in any order: the first subscription is the one that was made first.
    const isEarlier = set.startsAt !== null && at < set.startsAt;
    if (isEarlier) set.startsAt = at;
    if (!this.see(set) && !isEarlier) return;
    // Known to the purge before anything is.
    if (isWildcard(filter)) await this.deps.store.putPositions([{ consumer: FILTERS, topic: filter, id: '', receipts: [`@${this.deps.now()}`] }]);
    await this.deps.store.putPositions([set.toPosition()]);
  }

  /** What the consumer has read of each of the topics, in their order; `filters` as in ReadRef. */
  async load(consumer: string, topics: readonly string[], filters: readonly string[]): Promise<ReadSet[]> {
    const { sets } = await this.rows(consumer, topics, filters);
    return topics.map((topic) => sets.get(topic) as ReadSet);
  }

  async read(consumer: string, refs: readonly ReadRef[]): Promise<void> {
    if (refs.length === 0) return;
    const { sets, rows } = await this.rows(consumer, unique(refs.map(({ topic }) => topic)), unique(refs.flatMap(({ filters }) => filters)), refs);
    for (const { topic, id } of refs) sets.get(topic)?.add(id);
    for (const set of sets.values()) {
      set.seenAt = this.deps.now();
      await this.compact(set);
    }
    const seen = rows.filter((row) => this.see(row));
    await this.deps.store.putPositions([...sets.values(), ...seen].map((set) => set.toPosition()));
  }

  /** These are about to be stored although the consumer's position may have passed them (promise 17). */
  async late(consumer: string, refs: readonly MessageRef[]): Promise<void> {
    const rows = await this.deps.store.getPositions(consumer, unique(refs.map(({ topic }) => topic)));
    const sets = rows.map((row) => ReadSet.of(row));
    for (const set of sets) {
      for (const { topic, id } of refs) if (topic === set.topic && set.hides(id)) set.addLate(id);
      set.tidy(this.deps.now(), this.policyOf(set.topic).ttlMs);
    }
    await this.deps.store.putPositions(sets.map((set) => set.toPosition()));
  }

  /** Behind everything that was in the lane when the position was compacted. */
  async forget(consumer: string, topics: readonly string[]): Promise<void> {
    const sets = (await this.deps.store.getPositions(consumer, unique(topics))).map((row) => ReadSet.of(row));
    for (const set of sets) set.forgetAbsorbed();
    await this.deps.store.putPositions(sets.map((set) => set.toPosition()));
  }

  /** With the rows of the filters, which say what holds for a topic that has none. */
  private async rows(consumer: string, topics: readonly string[], filters: readonly string[], refs: readonly ReadRef[] = []): Promise<{ sets: Map<string, ReadSet>; rows: ReadSet[] }> {
    const found = await this.deps.store.getPositions(consumer, unique([...topics, ...filters]));
    const byTopic = new Map(found.map((row) => [row.topic, ReadSet.of(row)]));
    const rows = filters.flatMap((filter) => byTopic.get(filter) ?? []);
    const sets = new Map<string, ReadSet>();
    for (const topic of topics) {
      const matching = refs.length === 0 ? filters : (refs.find((ref) => ref.topic === topic)?.filters ?? []);
      const starting = rows.filter((row) => matching.includes(row.topic));
      sets.set(topic, byTopic.get(topic) ?? startOf(consumer, topic, this.policyOf(topic), starting));
    }
    return { sets, rows };
  }

  /**
   * Three steps. What is announced can be passed only when every write that has not seen the announcement is stored (LateWrites): at the
   * next update that is late enough. What is passed is known one by one until the lane has taken in what is in it: it may tell of late
   * messages that were acknowledged before they were stored.
   */
  private async compact(set: ReadSet): Promise<void> {
    const now = this.deps.now();
    const { announced, topic } = set;
    if (announced !== null && !set.hasAbsorbed && now >= announced.at + ANNOUNCED_MS) {
      await set.compact((after) => this.deps.store.listMessages({ topic, after, limit: PAGE, now }), announced.id, PAGES);
      set.announced = null;
      if (set.hasAbsorbed) await this.deps.lanes.forget([{ consumer: set.consumer, topic }]);
    }
    set.tidy(now, this.policyOf(topic).ttlMs);
    const id = set.announced === null ? this.toAnnounce(set.loose()) : null;
    if (id === null) return;
    await this.deps.state.raise([{ key: markOf(topic), value: id }], MARK_TTL_MS);
    set.announced = { id, at: this.deps.now() };
  }

  /** The greatest of them that is old enough, whatever its age if there are many: EMQX's clock may be ahead of ours. */
  private toAnnounce(loose: readonly string[]): string | null {
    const settled = loose.filter((id) => (timeOf(id) ?? 0) < this.deps.now() - SETTLED_MS);
    const ids = loose.length > this.maxLoose * 8 ? loose : settled;
    return ids.length > this.maxLoose ? ids.reduce((greatest, each) => (each > greatest ? each : greatest)) : null;
  }

  /** @returns whether it is worth writing. */
  private see(set: ReadSet): boolean {
    const now = this.deps.now();
    if (set.seenAt !== null && now - set.seenAt < this.refreshMs) return false;
    set.seenAt = now;
    return true;
  }

  private policyOf(topic: string): Pick<Policy, 'from' | 'ttlMs'> {
    return policyFor(this.deps.policies, topic) ?? { from: 'earliest', ttlMs: Infinity };
  }
}

/** A topic that the consumer has no row of. Where several subscriptions brought it the earliest counts. */
export function startOf(consumer: string, topic: string, { from }: Pick<Policy, 'from'>, filterRows: readonly ReadSet[]): ReadSet {
  const set = new ReadSet(consumer, topic);
  const starts = filterRows.flatMap(({ startsAt }) => startsAt ?? []);
  if (from === 'now' && starts.length > 0) set.startsAt = Math.min(...starts);
  return set;
}

/** The shared state's key of the greatest id that any consumer's position of the topic has passed, or is about to. */
export function markOf(topic: string): string {
  return `passed:${createHash('sha256').update(topic).digest('hex')}`;
}

const unique = <T>(values: readonly T[]): T[] => [...new Set(values)];
