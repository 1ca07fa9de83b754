import type { Message, MessageRef } from '../../mqtt/message';
import { saveOrBisect } from '../shared/bisect';
import type { MessageQuery, MessageStore, Purged, Refusal, StoredRef, TopicCount, TopicQuery } from '../store';
import type { Client } from './client';
import { tick } from './clock';
import { Counts } from './counts';
import { distinct, isOneOf, keyOf, ON_DISK, states, tooMany, visible, visibleCount } from './keys';
import { number, text } from './literal';
import { between, endOfPage, type Range } from './pages';
import type { Removals } from './removals';
import { COLUMNS, toMessage, toRow, type MessageRow } from './rows';
import { Sweeper } from './sweeper';
import { TopicTable } from './topics';

/** Up to here messages are counted one by one. */
const EXACT_COUNT = 50_000;
const KEYS_PER_PAGE = 1_000;
/** A page is looked for further and further ahead where most rows are removed and not yet purged. */
const MOST_ROWS = 100_000;
/** Rows that are read beyond what is asked for: some may be removed. */
const SPARE = 20;

const ofTopic = (topic: string): Range => ({ table: 'mqtt_msg', where: `topic = ${text(topic)}`, column: 'msgid' });

/** mqtt_msg. A row is never changed; it is gone once mqtt_removed says so (migrations/clickhouse/001_messages.sql). */
export class MessageTable implements MessageStore {
  private readonly topicTable: TopicTable;
  private readonly sweeper: Sweeper;
  private readonly counts: Counts;

  constructor(
    private readonly db: Client,
    private readonly removals: Removals,
  ) {
    this.topicTable = new TopicTable(db, this);
    this.sweeper = new Sweeper(db, removals);
    this.counts = new Counts(db, this);
  }

  removeMessages(refs: readonly MessageRef[], tombstoneUntil: number, now = Date.now()): Promise<number> {
    return this.removals.remove(refs, tombstoneUntil, now);
  }

  listTopics(query: TopicQuery): Promise<string[]> {
    return this.topicTable.list(query);
  }

  /**
   * Topics are written before their messages: a save that breaks off between the two leaves nothing that can't be found. An ack at the
   * same time needs no care: stored_at lies before the end of its tombstone, whichever of the two rows is there first.
   */
  saveMessages(messages: readonly Message[], now = Date.now()): Promise<Refusal[]> {
    return saveOrBisect(distinct(messages), async (batch) => {
      const known = await states(this.db, batch);
      const missing = batch.filter((message) => {
        const state = known.get(keyOf(message));
        return state === undefined || (state.stored.length === 0 && state.until <= now);
      });
      const at = tick();
      await this.db.insert(
        'mqtt_topic',
        [...newestIds(missing)].map(([topic, last_id]) => ({ topic, last_id, seen_at: at })),
      );
      await this.db.insert(
        'mqtt_msg',
        missing.map((message) => ({
          ...toRow(message),
          retain: message.retain ? 1 : 0,
          stored_at: Math.max(at, (known.get(keyOf(message))?.covered ?? 0) + 1),
        })),
      );
    });
  }

  async getMessage(id: string): Promise<Message | null> {
    const topics = await this.db.rows<{ topic: string }>(`SELECT DISTINCT topic FROM mqtt_msg WHERE msgid = ${text(id)} LIMIT 10`);
    if (topics.length === 0) return null;
    const known = await states(
      this.db,
      topics.map(({ topic }) => ({ topic, id })),
    );
    const stored = [...known.values()].find((state) => state.stored.length > 0);
    return stored === undefined ? null : ((await this.read([stored]))[0] ?? null);
  }

  async listMessages({ topic, after, limit, now }: MessageQuery): Promise<Message[]> {
    const ids = await this.ids({ topic, after, limit, now });
    return ids.length === 0 ? [] : this.read(ids.map((id) => ({ topic, id })));
  }

  async listRefs(query: MessageQuery): Promise<StoredRef[]> {
    const refs = (await this.ids(query)).map((id) => ({ topic: query.topic, id }));
    if (refs.length === 0) return [];
    return this.db.rows<StoredRef>(
      `SELECT msgid AS id, ifNull(published_at, arrived) AS publishReceivedAt FROM (
         SELECT topic, msgid, published_at, arrived FROM mqtt_msg WHERE ${isOneOf(refs)} ORDER BY topic, msgid, stored_at DESC LIMIT 1 BY topic, msgid)
       ORDER BY id`,
    );
  }

  /** Ids first: what is removed or too much is never read with its payload. */
  private async ids({ topic, after, limit, now }: MessageQuery, last: string | null = null): Promise<string[]> {
    const range = ofTopic(topic);
    const found: string[] = [];
    for (let size = limit + SPARE, from = after; found.length < limit; size = Math.min(4 * size, MOST_ROWS)) {
      const end = await endOfPage(this.db, range, from, size, last);
      const rows = await this.db.rows<{ msgid: string }>(
        `${visible('msgid', between(range, from, end), `(expires_at IS NULL OR expires_at > ${number(now)})`)}
         ORDER BY msgid LIMIT ${number(limit - found.length)}`,
      );
      found.push(...rows.map(({ msgid }) => msgid));
      if (end === last) break;
      from = end ?? '';
    }
    return found;
  }

  /** In the order of their ids. Of several rows with the same key the newest. */
  private async read(refs: readonly MessageRef[]): Promise<Message[]> {
    const rows = await this.db.rows<MessageRow>(
      `SELECT ${COLUMNS}, retain FROM mqtt_msg WHERE ${isOneOf(refs)} ORDER BY topic, msgid, stored_at DESC LIMIT 1 BY topic, msgid`,
    );
    return rows.map((row) => toMessage(row, row.retain === 1));
  }

  /** Whether the topic has a message, expired or not. */
  async has(topic: string): Promise<boolean> {
    return (await this.ids({ topic, after: '', limit: 1, now: 0 })).length > 0;
  }

  async trimTopic(topic: string, keep: number, now = Date.now()): Promise<number> {
    if ((await this.db.count(`SELECT count() AS n FROM mqtt_msg WHERE topic = ${text(topic)}`)) <= keep) return 0;
    const [last] = await this.db.rows<{ msgid: string }>(tooMany(topic, keep), ON_DISK);
    if (last === undefined) return 0;
    let removed = 0;
    for (let after = ''; ;) {
      const ids = await this.ids({ topic, after, limit: KEYS_PER_PAGE, now: 0 }, last.msgid);
      removed += await this.removals.remove(
        ids.map((id) => ({ topic, id })),
        0,
        now,
      );
      if (ids.length < KEYS_PER_PAGE) return removed;
      after = ids.at(-1) ?? '';
    }
  }

  async purgeExpired(now: number, limit: number): Promise<Purged> {
    const expired: MessageRef[] = [];
    for await (const state of this.expired(now)) if (state.stored.length > 0 && expired.push(state) >= limit) break;
    const removed = expired.length === 0 ? 0 : await this.removals.remove(expired, 0, now);
    // The last step of a run: what it removed, and what others did, is given back to the disk.
    if (removed < limit) await this.sweeper.run();
    return { removed, more: removed >= limit };
  }

  /** All that have expired, removed ones included until they are purged. Reads one column of all rows for each page. */
  private async *expired(now: number) {
    for (let last: MessageRef = { topic: '', id: '' }; ;) {
      const rows = await this.db.rows<{ topic: string; id: string }>(
        `SELECT topic, msgid AS id FROM mqtt_msg
         WHERE expires_at <= ${number(now)} AND (topic > ${text(last.topic)} OR (topic = ${text(last.topic)} AND msgid > ${text(last.id)}))
         ORDER BY topic, msgid LIMIT 1 BY topic, msgid LIMIT ${KEYS_PER_PAGE}`,
      );
      const next = rows.at(-1);
      if (next === undefined) return;
      yield* (await states(this.db, rows)).values();
      last = next;
    }
  }

  /** An estimate has those that are removed and not yet purged in it. */
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

function newestIds(messages: readonly Message[]): Map<string, string> {
  const newest = new Map<string, string>();
  for (const { topic, id } of messages) if ((newest.get(topic) ?? '') < id) newest.set(topic, id);
  return newest;
}
