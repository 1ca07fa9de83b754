import type { Message, MessageRef } from '../../mqtt/message';
import { compareText } from '../shared/order';
import { newestMessages } from '../shared/newest';
import type { Refusal, RetainedStore, TopicQuery } from '../store';
import type { Database } from './database';
import { COLUMNS, contentOf, toMessage, type MessageRow } from './rows';
import { TopicIndex } from './topic-index';

type Current = Pick<MessageRow, 'msgid'>;

/**
 * retain. The message with the greatest id must win over one that comes at the same time, and ids are not times: all its writes are
 * lightweight transactions on what was read before.
 */
export class RetainedTable implements RetainedStore {
  private readonly topicIndex: TopicIndex<Message>;

  constructor(private readonly db: Database) {
    this.topicIndex = new TopicIndex(db, 'mqtt_retain_topic', (topics) => this.read(topics));
  }

  /** The index first: a message that it does not know would not be found. */
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
    for (let current = (await this.current(message.topic))?.msgid ?? null; current === null || compareText(current, message.id) <= 0; ) {
      const refused = await this.db.conditionally<Current>(
        `UPDATE retain SET msgid = ?, sender = ?, username = ?, qos = ?, payload = ?, payload_bin = ?, properties = ?, arrived = ?,
           published_at = ?, expires_at = ? WHERE topic = ? IF msgid = ?`,
        [message.id, ...contentOf(message, null), message.topic, current],
      );
      if (refused === null) return;
      current = refused.msgid ?? null;
    }
  }

  async deleteRetained(refs: readonly MessageRef[]): Promise<void> {
    await this.db.wave(refs, (ref) => this.remove(ref));
  }

  private async remove({ topic, id }: MessageRef): Promise<void> {
    for (let current = await this.current(topic); current !== null && compareText(current.msgid ?? '', id) <= 0; ) {
      const refused = await this.db.conditionally<Current>('DELETE FROM retain WHERE topic = ? IF msgid = ?', [topic, current.msgid]);
      if (refused === null) return;
      current = refused.msgid === undefined ? null : { msgid: refused.msgid };
    }
  }

  private async current(topic: string): Promise<Current | null> {
    const [row] = await this.db.rows<Current>('SELECT msgid FROM retain WHERE topic = ?', [topic]);
    return row ?? null;
  }

  listRetained(query: TopicQuery): Promise<Message[]> {
    return this.topicIndex.list(query);
  }

  /** EMQX's own row whose message is nowhere has nothing to deliver. */
  private read(topics: readonly string[]): Promise<(Message | null)[]> {
    return this.db.wave(topics, async (topic) => {
      const [row] = await this.db.rows<MessageRow>(`SELECT ${COLUMNS} FROM retain WHERE topic = ?`, [topic]);
      return row === undefined || row.msgid === null || row.published_at === null ? null : toMessage(row, true);
    });
  }
}
