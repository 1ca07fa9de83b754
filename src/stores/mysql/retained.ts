import type { Message } from '../../mqtt/message';
import { newestMessages } from '../shared/newest';
import { compareText } from '../shared/order';
import type { Refusal, RetainedRef, RetainedStore, TopicQuery } from '../store';
import type { Database } from './database';
import { hashOf } from './keys';
import { COLUMNS, FILLED, insertInStatements, toMessage, type MessageRow } from './rows';
import { TopicIndex } from './topic-index';

/**
 * MySQL assigns from left to right, so the columns that all conditions read come last. The time is after the id,
 * because the id counts only if the times are equal.
 */
const REPLACED = ['topic', 'sender', 'username', 'qos', 'payload', 'properties', 'expires_at', 'arrived', 'msgid', 'published_at'];
const notNewer = (at: string, id: string): string =>
  `(COALESCE(mqtt_retain.published_at, 0) < ${at} OR (COALESCE(mqtt_retain.published_at, 0) = ${at} AND COALESCE(mqtt_retain.msgid, '') <= ${id}))`;
const NEWER = notNewer('VALUES(published_at)', 'VALUES(msgid)');

/** mqtt_retain. */
export class RetainedTable implements RetainedStore {
  private readonly topicIndex: TopicIndex;

  constructor(private readonly db: Database) {
    this.topicIndex = new TopicIndex(db, 'mqtt_retain');
  }

  putRetained(messages: readonly Message[]): Promise<Refusal[]> {
    const newest = newestMessages(messages).sort((a, b) => compareText(a.topic, b.topic));
    return insertInStatements(this.db, newest, async (batch) => {
      await this.db.together([
        `INSERT INTO mqtt_retain (${FILLED}) VALUES ${batch.map(({ values }) => `(${values})`).join(',')}
         ON DUPLICATE KEY UPDATE ${REPLACED.map((column) => `${column} = IF(${NEWER}, VALUES(${column}), mqtt_retain.${column})`).join(', ')}`,
      ]);
    });
  }

  async deleteRetained(refs: readonly RetainedRef[]): Promise<void> {
    if (refs.length === 0) return;
    await this.db.rows(
      `DELETE FROM mqtt_retain WHERE ${refs.map(() => `(topic_hash = ? AND ${notNewer('?', '?')})`).join(' OR ')}`,
      refs.flatMap(({ topic, id, publishReceivedAt: at }) => [hashOf(topic), at, at, id]),
    );
  }

  /** Reads the topics first, so that payloads of messages that don't match are never read into memory. */
  async listRetained(query: TopicQuery): Promise<Message[]> {
    const topics = await this.topicIndex.list(query);
    if (topics.length === 0) return [];
    const rows = await this.db.rows<MessageRow>(`SELECT ${COLUMNS} FROM mqtt_retain WHERE topic_hash IN (?)`, [topics.map(hashOf)]);
    return rows.map((row) => toMessage(row, true)).sort((a, b) => compareText(a.topic, b.topic));
  }
}
