import type { Message } from '../../mqtt/message';
import { saveOrBisect } from '../shared/bisect';
import { newestMessages } from '../shared/newest';
import type { Refusal, RetainedRef, RetainedStore, TopicQuery } from '../store';
import type { Database } from './database';
import { COLUMNS, toColumns, toMessage, UNNEST, type MessageRow } from './rows';
import { KEY, TopicIndex } from './topic-index';

/** mqtt_retain. */
export class RetainedTable implements RetainedStore {
  private readonly topicIndex: TopicIndex;

  constructor(private readonly db: Database) {
    this.topicIndex = new TopicIndex(db, 'mqtt_retain');
  }

  putRetained(messages: readonly Message[]): Promise<Refusal[]> {
    return saveOrBisect(newestMessages(messages), async (batch) => {
      await this.db.rows(
        `INSERT INTO mqtt_retain AS r (topic, msgid, sender, qos, payload, arrived, payload_bin, username, properties, published_at, expires_at)
         SELECT topic, msgid, sender, qos, payload, to_timestamp(published_at / 1000.0)::timestamp, payload_bin, username, properties,
                published_at, expires_at
         FROM ${UNNEST}
         ORDER BY topic COLLATE "C"
         ON CONFLICT (mqtt_key(topic)) DO UPDATE SET msgid = excluded.msgid, sender = excluded.sender, qos = excluded.qos,
           payload = excluded.payload, arrived = excluded.arrived, payload_bin = excluded.payload_bin, username = excluded.username,
           properties = excluded.properties, published_at = excluded.published_at, expires_at = excluded.expires_at
         WHERE (coalesce(r.published_at, 0), coalesce(r.msgid, '') COLLATE "C") <= (excluded.published_at, excluded.msgid)`,
        toColumns(batch),
      );
    });
  }

  async deleteRetained(refs: readonly RetainedRef[]): Promise<void> {
    await this.db.rows(
      `DELETE FROM mqtt_retain AS r USING unnest(:topics::text[], :ids::text[], :times::bigint[]) AS gone(topic, msgid, published_at)
       WHERE mqtt_key(r.topic) = mqtt_key(gone.topic)
         AND (coalesce(r.published_at, 0), coalesce(r.msgid, '') COLLATE "C") <= (gone.published_at, gone.msgid)`,
      {
        topics: refs.map(({ topic }) => topic),
        ids: refs.map(({ id }) => id),
        times: refs.map(({ publishReceivedAt }) => publishReceivedAt),
      },
    );
  }

  /** Reads the topics first, so that payloads of messages that don't match are never read into memory. */
  async listRetained(query: TopicQuery): Promise<Message[]> {
    const topics = await this.topicIndex.list(query);
    if (topics.length === 0) return [];
    const rows = await this.db.rows<MessageRow>(
      `SELECT ${COLUMNS} FROM mqtt_retain WHERE mqtt_key(topic) = ANY(ARRAY(SELECT mqtt_key(t) FROM unnest(:topics::text[]) AS t))
       ORDER BY ${KEY}, topic COLLATE "C"`,
      { topics },
    );
    return rows.map((row) => toMessage(row, true));
  }
}
