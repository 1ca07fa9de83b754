import type { Message } from '../../mqtt/message';
import { isNewer, newestMessages } from '../shared/newest';
import type { Refusal, RetainedRef, RetainedStore, TopicQuery } from '../store';
import type { Database } from './database';
import { COLUMNS, contentOf, toMessage, toNumber, type MessageRow } from './rows';
import { TopicIndex } from './topic-index';

type Current = Pick<MessageRow, 'msgid' | 'published_at'>;

/**
 * retain. The newest message must win over one that is written at the same time, and Cassandra's timestamps don't tell
 * which is newer. So all writes are lightweight transactions that depend on what was read before.
 */
export class RetainedTable implements RetainedStore {
  private readonly topicIndex: TopicIndex<Message>;

  constructor(private readonly db: Database) {
    this.topicIndex = new TopicIndex(db, 'mqtt_retain_topic', (topics) => this.read(topics));
  }

  /** The index is written first, because a message that is missing there would not be found. */
  async putRetained(messages: readonly Message[]): Promise<Refusal[]> {
    const newest = newestMessages(messages);
    const timestamp = this.db.timestamp();
    const noted = await this.db.writeWave(newest, ({ topic }) => this.topicIndex.note(topic, timestamp));
    const outcomes = await this.db.writeWave(newest, async (message) => {
      if (noted[newest.indexOf(message)] === null) await this.replace(message);
    });
    return newest.flatMap(({ id }, i) => {
      const refusal = noted[i] ?? outcomes[i];
      return refusal ? [{ id, reason: refusal.message }] : [];
    });
  }

  private async replace(message: Message): Promise<void> {
    for (let current = await this.current(message.topic); current === null || !isNewerThan(current, message);) {
      const refused = await this.db.conditionally<Current>(
        `UPDATE retain SET msgid = ?, sender = ?, username = ?, qos = ?, payload = ?, payload_bin = ?, properties = ?, arrived = ?,
           published_at = ?, expires_at = ? WHERE topic = ? IF msgid = ? AND published_at = ?`,
        [message.id, ...contentOf(message, null), message.topic, current?.msgid ?? null, current?.published_at ?? null],
      );
      if (refused === null) return;
      current = refused.msgid === undefined ? null : (refused as Current);
    }
  }

  async deleteRetained(refs: readonly RetainedRef[]): Promise<void> {
    await this.db.wave(refs, (ref) => this.remove(ref));
  }

  private async remove(ref: RetainedRef): Promise<void> {
    for (let current = await this.current(ref.topic); current !== null && !isNewerThan(current, ref);) {
      const expected = [ref.topic, current.msgid, current.published_at];
      const refused = await this.db.conditionally<Current>(
        'DELETE FROM retain WHERE topic = ? IF msgid = ? AND published_at = ?',
        expected,
      );
      if (refused === null) return;
      current = refused.msgid === undefined ? null : (refused as Current);
    }
  }

  private async current(topic: string): Promise<Current | null> {
    const [row] = await this.db.rows<Current>('SELECT msgid, published_at FROM retain WHERE topic = ?', [topic]);
    return row ?? null;
  }

  listRetained(query: TopicQuery): Promise<Message[]> {
    return this.topicIndex.list(query);
  }

  /** A row of EMQX's plugin whose message is gone has nothing to deliver. */
  private read(topics: readonly string[]): Promise<(Message | null)[]> {
    return this.db.wave(topics, async (topic) => {
      const [row] = await this.db.rows<MessageRow>(`SELECT ${COLUMNS} FROM retain WHERE topic = ?`, [topic]);
      return row === undefined || row.msgid === null || row.published_at === null ? null : toMessage(row, true);
    });
  }
}

function isNewerThan({ msgid, published_at }: Current, ref: RetainedRef): boolean {
  return isNewer({ id: msgid ?? '', publishReceivedAt: toNumber(published_at) ?? 0 }, ref);
}
