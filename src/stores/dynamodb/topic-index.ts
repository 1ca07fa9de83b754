import { randomUUID } from 'node:crypto';
import { compareText } from '../shared/order';
import { readAll, writeAll, type Write } from './batches';
import type { Client } from './client';
import { commonPart, topicSort, topicSortRange } from './keys';
import { pooled } from './pool';
import { bytes, bytesOf, text, textOf, type Item } from './values';

const LARGEST_PAGE = 1_000;
/** A margin, because partitions are never filled evenly. */
const PAGE_MARGIN = 2;

interface Row {
  readonly key: Buffer;
  readonly topic: string;
}

/** Where the entry of a topic is. */
export interface Place {
  readonly partition: string;
  readonly topic: string;
}

/** The part of the index that is requested. */
export interface TopicRange {
  readonly prefix: string;
  readonly after: string;
  readonly limit: number;
  readonly accepts: (topic: string) => boolean;
}

/**
 * A table of topics in order, [partition, topic_sort]. One entry stands for any number of items elsewhere, and is
 * deleted with the last of them.
 *
 * The token decides between an add() and a leave() at the same time. A writer adds the entry after its item, with a new
 * token. leave() reads the token, then checks that no item exists, and deletes the entry only if it still has this
 * token.
 */
export class TopicIndex {
  constructor(
    private readonly client: Client,
    private readonly table: string,
    private readonly partitionKey: string,
  ) {}

  /** Must be called after the items were written. */
  async add(entries: readonly Place[]): Promise<void> {
    const put = new Map<string, Write>();
    for (const entry of entries) {
      const item = { ...this.key(entry), topic: text(entry.topic), token: text(randomUUID()) };
      put.set(JSON.stringify([entry.partition, entry.topic]), { table: this.table, put: item });
    }
    await writeAll(this.client, [...put.values()]);
  }

  /** Must be called after items were deleted. Deletes the entries of those topics that have no other items. */
  async leave(entries: readonly Place[], isEmpty: (entry: Place) => Promise<boolean>): Promise<void> {
    const places = new Map(entries.map((entry) => [nameOf(this.key(entry), this.partitionKey), entry]));
    const found = await readAll(
      this.client,
      this.table,
      [...places.values()].map((entry) => this.key(entry)),
      [this.partitionKey, 'topic_sort', 'token'],
    );
    await pooled(found, async (item) => {
      const entry = places.get(nameOf(item, this.partitionKey));
      if (entry === undefined || !(await isEmpty(entry))) return;
      const on = { condition: '#t = :token', names: { '#t': 'token' }, values: { ':token': item['token'] ?? text('') } };
      await this.client.delete(this.table, this.key(entry), on);
    });
  }

  async has(entry: Place): Promise<boolean> {
    return (await this.client.get(this.table, this.key(entry), ['topic_sort'])) !== null;
  }

  /** The topics of several partitions, in order. */
  async list(partitions: readonly string[], { prefix, after, limit, accepts }: TopicRange): Promise<string[]> {
    const found: string[] = [];
    let group: SameBeginning | null = null;
    for await (const row of this.merged(partitions, prefix, after, limit)) {
      const common = commonPart(row.key);
      if (group !== null && (common === null || !group.isOf(common))) {
        found.push(...group.smallest());
        group = null;
      }
      if (found.length >= limit) return found;
      if (compareText(row.topic, after) <= 0 || !row.topic.startsWith(prefix) || !accepts(row.topic)) continue;
      if (common === null) found.push(row.topic);
      else (group ??= new SameBeginning(common, limit - found.length)).add(row.topic);
    }
    return [...found, ...(group?.smallest() ?? [])].slice(0, limit);
  }

  private async *merged(partitions: readonly string[], prefix: string, after: string, limit: number): AsyncGenerator<Row> {
    const [from, to] = topicSortRange(prefix, after);
    // DynamoDB rejects an empty range.
    if (Buffer.compare(from, to) > 0) return;
    const firstPage = Math.ceil(limit / partitions.length) + PAGE_MARGIN;
    const cursors = partitions.map((partition) => new Cursor((size, start) => this.page(partition, from, to, size, start), firstPage));
    await Promise.all(cursors.map((cursor) => cursor.fill()));
    for (;;) {
      const least = cursors.reduce<Cursor | null>((best, each) => (each.isBefore(best) ? each : best), null);
      const row = least?.take();
      if (row === undefined) return;
      yield row;
      await least?.fill();
    }
  }

  private page(partition: string, from: Buffer, to: Buffer, size: number, start: Item | null) {
    const query = {
      KeyConditionExpression: '#p = :p AND topic_sort BETWEEN :from AND :to',
      ExpressionAttributeNames: { '#p': this.partitionKey },
      ExpressionAttributeValues: { ':p': text(partition), ':from': bytes(from), ':to': bytes(to) },
      Limit: size,
    };
    return this.client.page(this.table, query, start);
  }

  private key({ partition, topic }: Place): Item {
    return { [this.partitionKey]: text(partition), topic_sort: bytes(topicSort(topic)) };
  }
}

/** A text that stands for an item's key. */
const nameOf = (item: Item, partitionKey: string): string =>
  `${bytesOf(item['topic_sort'])?.toString('base64')} ${textOf(item[partitionKey])}`;

const toRow = (item: Item): Row => ({ key: bytesOf(item['topic_sort']) ?? Buffer.alloc(0), topic: textOf(item['topic']) ?? '' });

/** The rows of one partition, page by page. Pages grow, for filters that few topics match. */
class Cursor {
  private rows: Row[] = [];
  private at = 0;
  private ended = false;
  private start: Item | null = null;

  constructor(
    private readonly read: (size: number, start: Item | null) => Promise<{ items: Item[]; next: Item | null }>,
    private size: number,
  ) {}

  async fill(): Promise<void> {
    while (!this.ended && this.at >= this.rows.length) {
      const { items, next } = await this.read(Math.min(this.size, LARGEST_PAGE), this.start);
      [this.rows, this.at, this.start, this.ended] = [items.map(toRow), 0, next, next === null];
      this.size *= 2;
    }
  }

  isBefore(other: Cursor | null): boolean {
    const [own, its] = [this.rows[this.at], other?.rows[other.at]];
    return own !== undefined && (its === undefined || Buffer.compare(own.key, its.key) < 0);
  }

  take(): Row | undefined {
    return this.rows[this.at++];
  }
}

/** The rare topics that are as long as a key and begin alike. Only as many are kept as can be requested. */
class SameBeginning {
  private topics: string[] = [];

  constructor(
    private readonly beginning: Buffer,
    private readonly most: number,
  ) {}

  isOf(beginning: Buffer): boolean {
    return this.beginning.equals(beginning);
  }

  add(topic: string): void {
    this.topics.push(topic);
    if (this.topics.length >= 2 * this.most) this.topics = this.smallest();
  }

  smallest(): string[] {
    return this.topics.sort(compareText).slice(0, this.most);
  }
}
