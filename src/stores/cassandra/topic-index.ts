import { createHash } from 'node:crypto';
import type { types } from 'cassandra-driver';
import { isInbox, matches } from '../../mqtt/topic';
import { compareText } from '../shared/order';
import { topicRange } from '../shared/topic-range';
import { groupBy } from '../../base/parallel';
import type { TopicQuery } from '../store';
import type { Database } from './database';
import { split } from '../../base/split';
import { BYTES_TOGETHER } from './groups';
import { toNumber } from './rows';

const SHARDS = Array.from({ length: 16 }, (_, shard) => shard);
/** How many topics of a shard are in memory, and checked in one wave. A topic may have 65,535 bytes. */
const PAGE = 64;
/**
 * An entry that is younger than this (ms) is not removed, because its message may not be visible yet, and the servers'
 * clocks may differ.
 */
export const GUARD_MS = 60_000;

interface Entry {
  readonly topic: string;
  readonly at: types.Long | null;
}

interface Range {
  readonly from: string;
  readonly inclusive: boolean;
  /** Exclusive; null if there is no end. */
  readonly to: string | null;
}

/** What is stored under each of these topics; null if nothing is. */
export type Lookup<T> = (topics: readonly string[]) => Promise<(T | null)[]>;

/**
 * The topics of a table in order. Each topic has an entry in one of several shards, so that no partition grows without
 * limit. The shards are merged when they are read. An entry is not deleted when something is removed, because that
 * would race with the next save. It only tells where to look. A reader that finds nothing there deletes an old entry,
 * with the timestamp of its write, so that a newer entry stays.
 */
export class TopicIndex<T> {
  private swept = { shard: 0, topic: '' };

  constructor(
    private readonly db: Database,
    private readonly table: 'mqtt_topic' | 'mqtt_retain_topic',
    private readonly lookup: Lookup<T>,
    private readonly guardMs = GUARD_MS,
  ) {}

  async note(topic: string, timestamp: number): Promise<void> {
    const values = [shardOf(topic), topic, new Date(Math.floor(timestamp / 1_000))];
    await this.db.write(`INSERT INTO ${this.table} (shard, topic, saved_at) VALUES (?, ?, ?)`, values, timestamp);
  }

  /** One write for each shard. The topics are all short enough. */
  async noteAll(topics: readonly string[], timestamp: number): Promise<void> {
    const savedAt = new Date(Math.floor(timestamp / 1_000));
    const query = `INSERT INTO ${this.table} (shard, topic, saved_at) VALUES (?, ?, ?) USING TIMESTAMP ?`;
    const entries = topics.map((topic) => ({ topic, shard: shardOf(topic) }));
    const shards = [...groupBy(entries, ({ shard }) => `${shard}`).values()];
    const parts = shards.flatMap((shard) => split(shard, PAGE, BYTES_TOGETHER, ({ topic }) => topic.length));
    await this.db.wave(parts, (part) =>
      this.db.writeTogether(part.map(({ topic, shard }) => ({ query, params: [shard, topic, savedAt, timestamp] }))),
    );
  }

  async list({ filter, after, limit }: TopicQuery): Promise<T[]> {
    const { exact, prefix } = topicRange(filter);
    const found: T[] = [];
    if (limit > 0 && exact !== null && compareText(exact, after) > 0) found.push(...present(await this.lookup([exact])));
    if (prefix === null || found.length >= limit) return found;
    let chunk: Entry[] = [];
    for await (const entry of this.candidates(prefix, after, limit)) {
      if (!matches(filter, entry.topic)) continue;
      chunk.push(entry);
      if (chunk.length < Math.min(PAGE, limit - found.length)) continue;
      found.push(...(await this.look(chunk)));
      if (found.length >= limit) return found;
      chunk = [];
    }
    found.push(...(await this.look(chunk)));
    return found;
  }

  /**
   * Checks the next `limit` entries, and continues after them at the next call. Without it entries that nobody lists
   * would stay for ever.
   */
  async sweep(limit: number): Promise<void> {
    const { shard, topic } = this.swept;
    const entries = await this.page(shard, { from: topic, inclusive: false, to: null }, Math.min(limit, PAGE));
    await this.look(entries);
    const last = entries.at(-1);
    this.swept = last === undefined ? { shard: (shard + 1) % SHARDS.length, topic: '' } : { shard, topic: last.topic };
  }

  private async look(entries: readonly Entry[]): Promise<T[]> {
    const removable = (Date.now() - this.guardMs) * 1_000;
    const found = await this.lookup(entries.map(({ topic }) => topic));
    const stale = entries.filter(({ at }, i) => found[i] === null && (toNumber(at) ?? 0) < removable);
    await this.db.wave(stale, ({ topic, at }) =>
      this.db.write(`DELETE FROM ${this.table} WHERE shard = ? AND topic = ?`, [shardOf(topic), topic], toNumber(at) ?? removable),
    );
    return present(found);
  }

  private async *candidates(prefix: string, after: string, limit: number): AsyncGenerator<Entry> {
    const shards = isInbox(prefix) && prefix.split('/').length > 2 ? [shardOf(prefix)] : SHARDS;
    // A little more than each shard's share. If all shards have enough entries, one page of each is enough.
    const page = Math.min(PAGE, Math.ceil((2 * limit) / shards.length) + 4);
    for (const range of rangesOf(prefix, after)) yield* this.merged(shards, range, page);
  }

  private async *merged(shards: readonly number[], range: Range, page: number): AsyncGenerator<Entry> {
    const cursors = shards.map((shard) => ({ shard, range, entries: [] as Entry[], ended: false }));
    for (;;) {
      await this.db.wave(
        cursors.filter(({ entries, ended }) => entries.length === 0 && !ended),
        async (cursor) => {
          cursor.entries = await this.page(cursor.shard, cursor.range, page);
          cursor.ended = cursor.entries.length < page;
          cursor.range = { ...range, from: cursor.entries.at(-1)?.topic ?? '', inclusive: false };
        },
      );
      // The merged entries are complete up to the point where a shard must be read further.
      for (let next = least(cursors); next !== null; next = least(cursors)) {
        yield next.entries.shift()!;
        if (next.entries.length === 0 && !next.ended) break;
      }
      if (cursors.every(({ entries, ended }) => entries.length === 0 && ended)) return;
    }
  }

  private page(shard: number, { from, inclusive, to }: Range, limit: number): Promise<Entry[]> {
    const upper = to === null ? '' : 'AND topic < ?';
    return this.db.rows<Entry>(
      `SELECT topic, writetime(saved_at) AS at FROM ${this.table} WHERE shard = ? AND topic ${inclusive ? '>=' : '>'} ? ${upper} LIMIT ?`,
      [shard, from, ...(to === null ? [] : [to]), limit],
    );
  }
}

const present = <T>(found: readonly (T | null)[]): T[] => found.filter((each) => each !== null);

function least<C extends { readonly entries: Entry[] }>(cursors: readonly C[]): C | null {
  let best: C | null = null;
  let bestTopic = '';
  for (const cursor of cursors) {
    const topic = cursor.entries[0]?.topic;
    if (topic === undefined || (best !== null && compareText(topic, bestTopic) >= 0)) continue;
    [best, bestTopic] = [cursor, topic];
  }
  return best;
}

/** All topics of one inbox are in one shard, because inboxes are listed most often. */
export function shardOf(topic: string): number {
  const key = isInbox(topic) ? topic.split('/').slice(0, 2).join('/') : topic;
  return (createHash('sha256').update(key).digest()[0] ?? 0) % SHARDS.length;
}

/**
 * `prefix` is '' or ends in `/`, which `0` follows in sort order. Without a prefix, topics that begin with $ don't
 * match and are skipped.
 */
function rangesOf(prefix: string, after: string): Range[] {
  const ranges =
    prefix === ''
      ? [
          { from: '', to: '$' },
          { from: '%', to: null },
        ]
      : [{ from: prefix, to: `${prefix.slice(0, -1)}0` }];
  return ranges
    .filter(({ to }) => to === null || compareText(after, to) < 0)
    .map(({ from, to }) => (compareText(after, from) >= 0 ? { from: after, inclusive: false, to } : { from, inclusive: true, to }));
}
