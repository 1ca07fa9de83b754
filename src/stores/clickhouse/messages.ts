import type { Message, MessageRef } from '../../mqtt/message';
import type { MessageQuery, MessageStore, Purged, Refusal, StoredRef, TopicCount, TopicQuery } from '../store';
import { fillPage } from '../shared/fill-page';
import type { Client } from './client';
import { Counts } from './counts';
import { Expiry } from './expiry';
import { COVERED, isOneOf, keyOf, ON_DISK, tooMany, visibleCount } from './keys';
import { number, text } from './literal';
import { living, type LivingRow } from './living';
import { between, endOfPage, type Range } from './pages';
import type { Removals } from './removals';
import { MESSAGE_COLUMNS, toMessage, type MessageRow } from './rows';
import { save } from './saving';
import { Sweeper } from './sweeper';
import { MessageTopics } from './topics';

/** Up to this number messages are counted exactly. */
const EXACT_COUNT = 50_000;
const KEYS_PER_PAGE = 1_000;
/** The limit to which a read grows when most rows are removed and not yet purged. */
const MOST_ROWS = 100_000;
/** How many more rows are read than requested, because some may be removed. */
const SPARE = 20;

const ofTopic = (topic: string): Range => ({ table: 'mqtt_msg', where: `topic = ${text(topic)}`, column: 'msgid' });

/** mqtt_msg. A row is never changed; it counts as removed once mqtt_removed says so (migrations/clickhouse/001_messages.sql). */
export class MessageTable implements MessageStore {
  private readonly topics: MessageTopics;
  private readonly expiry: Expiry;
  private readonly counts: Counts;

  constructor(
    private readonly db: Client,
    private readonly removals: Removals,
  ) {
    this.topics = new MessageTopics(db, this);
    this.expiry = new Expiry(db, removals, new Sweeper(db));
    this.counts = new Counts(db, this);
  }

  saveMessages(messages: readonly Message[]): Promise<Refusal[]> {
    return save(this.db, messages);
  }

  removeMessages(refs: readonly MessageRef[], tombstoneUntil: number): Promise<number> {
    return this.removals.remove(refs, tombstoneUntil);
  }

  listTopics(query: TopicQuery): Promise<string[]> {
    return this.topics.list(query);
  }

  async getMessage(id: string): Promise<Message | null> {
    const topics = await this.db.rows<{ topic: string }>(`SELECT DISTINCT topic FROM mqtt_msg WHERE msgid = ${text(id)} LIMIT 10`);
    if (topics.length === 0) return null;
    const where = isOneOf(topics.map(({ topic }) => ({ topic, id })));
    const [stored] = await this.db.rows<LivingRow>(`${living(where, 0)} LIMIT 1`);
    return stored === undefined ? null : ((await this.read([stored]))[0] ?? null);
  }

  listMessages(query: MessageQuery): Promise<Message[]> {
    return fillPage(
      query,
      (after, limit) => this.rows({ ...query, after, limit }),
      (rows) => this.read(rows),
    );
  }

  async listRefs(query: MessageQuery): Promise<StoredRef[]> {
    return (await this.rows(query)).map(({ id, publishReceivedAt }) => ({ id, publishReceivedAt }));
  }

  /** Ids are read first, so that payloads of removed or superfluous messages are never read. */
  private async rows({ topic, after, limit, now }: MessageQuery, last: string | null = null, spare = SPARE): Promise<LivingRow[]> {
    const range = ofTopic(topic);
    const found: LivingRow[] = [];
    for (let size = limit + spare, from = after; found.length < limit; size = Math.min(4 * size, MOST_ROWS)) {
      const end = await endOfPage(this.db, range, from, size, last);
      const page = living(between(range, from, end), now);
      found.push(...(await this.db.rows<LivingRow>(`${page} ORDER BY id LIMIT ${number(limit - found.length)}`)));
      if (end === last) break;
      from = end ?? '';
    }
    return found;
  }

  /**
   * Sorted by ids. Removals are looked for once more: the server may have read the list of the IN in living() a moment
   * before a message, and so not its removal, although that came first.
   */
  private async read(found: readonly LivingRow[]): Promise<Message[]> {
    if (found.length === 0) return [];
    const where = isOneOf(found);
    const [rows, removals] = await Promise.all([
      this.db.rows<MessageRow>(
        `SELECT ${MESSAGE_COLUMNS} FROM mqtt_msg WHERE ${where} ORDER BY topic, msgid LIMIT 1 BY topic, msgid, stored_at`,
      ),
      this.db.rows<MessageRef & { covered: number }>(
        `SELECT topic, msgid AS id, max(${COVERED}) AS covered FROM mqtt_removed WHERE ${where} GROUP BY topic, msgid`,
      ),
    ]);
    const covered = new Map(removals.map((row) => [keyOf(row), row.covered]));
    const living = found.filter((row) => row.storedAt > (covered.get(keyOf(row)) ?? 0));
    const counts = new Map(living.map((row) => [keyOf(row), row.storedAt]));
    return rows.filter(({ topic, msgid, stored_at }) => counts.get(keyOf({ topic, id: msgid })) === stored_at).map(toMessage);
  }

  /** Whether the topic has a message, expired or not. A page is so large that few removed messages take no second page. */
  async has(topic: string): Promise<boolean> {
    return (await this.rows({ topic, after: '', limit: 1, now: 0 }, null, KEYS_PER_PAGE)).length > 0;
  }

  async trimTopic(topic: string, keep: number): Promise<number> {
    if ((await this.db.count(`SELECT count() AS n FROM mqtt_msg WHERE topic = ${text(topic)}`)) <= keep) return 0;
    const [last] = await this.db.rows<{ msgid: string }>(tooMany(topic, keep), ON_DISK);
    if (last === undefined) return 0;
    let removed = 0;
    for (let after = ''; ;) {
      const rows = await this.rows({ topic, after, limit: KEYS_PER_PAGE, now: 0 }, last.msgid);
      await this.removals.end(rows);
      removed += rows.length;
      if (rows.length < KEYS_PER_PAGE) return removed;
      after = rows.at(-1)?.id ?? '';
    }
  }

  purgeExpired(now: number, limit: number): Promise<Purged> {
    return this.expiry.purge(now, limit);
  }

  /** An estimate includes messages that are removed and not yet purged. */
  async countMessages(): Promise<number> {
    const rows = await this.db.count('SELECT count() AS n FROM mqtt_msg');
    return rows > EXACT_COUNT ? rows : this.db.count(visibleCount('1'));
  }

  topicCounts(topics: readonly string[], now: number): Promise<ReadonlyMap<string, TopicCount>> {
    return this.counts.ofTopics(topics, now);
  }

  oldestMessageAt(now: number): Promise<number | null> {
    return this.counts.oldest(now);
  }
}
