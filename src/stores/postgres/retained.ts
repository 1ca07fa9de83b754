import type { Message, MessageRef } from '../../offline/message';
import { literalPrefix, matches } from '../../offline/topic';
import { saveOrBisect } from '../shared/bisect';
import type { Refusal, TopicQuery } from '../store';
import type { Database } from './database';
import { COLUMNS, toColumns, toMessage, UNNEST, type MessageRow } from './rows';

const PAGE = 256;

/** mqtt_retain. */
export class RetainedTable {
  constructor(private readonly db: Database) {}

  put(messages: readonly Message[]): Promise<Refusal[]> {
    return saveOrBisect([...newestByTopic(messages)], async (batch) => {
      await this.db.rows(
        `INSERT INTO mqtt_retain AS r (topic, msgid, sender, qos, payload, arrived, payload_bin, username, properties, published_at, expires_at)
         SELECT topic, msgid, sender, qos, payload, to_timestamp(published_at / 1000.0)::timestamp, payload_bin, username, properties,
                published_at, expires_at
         FROM ${UNNEST}
         ON CONFLICT (mqtt_key(topic)) DO UPDATE SET msgid = excluded.msgid, sender = excluded.sender, qos = excluded.qos,
           payload = excluded.payload, arrived = excluded.arrived, payload_bin = excluded.payload_bin, username = excluded.username,
           properties = excluded.properties, published_at = excluded.published_at, expires_at = excluded.expires_at
         WHERE r.msgid COLLATE "C" <= excluded.msgid`,
        toColumns(batch),
      );
    });
  }

  async delete(refs: readonly MessageRef[]): Promise<void> {
    await this.db.rows(
      `DELETE FROM mqtt_retain USING unnest(:topics::text[], :ids::text[]) AS gone(topic, msgid)
       WHERE mqtt_key(mqtt_retain.topic) = mqtt_key(gone.topic) AND mqtt_retain.msgid COLLATE "C" <= gone.msgid`,
      { topics: refs.map(({ topic }) => topic), ids: refs.map(({ id }) => id) },
    );
  }

  async list({ filter, after, limit }: TopicQuery): Promise<Message[]> {
    const prefix = literalPrefix(filter);
    const found: Message[] = [];
    for (let from = after; found.length < limit; ) {
      const rows = await this.db.rows<MessageRow>(
        `SELECT ${COLUMNS} FROM mqtt_retain
         WHERE left(topic, 500) COLLATE "C" >= left(:start, 500) AND topic COLLATE "C" > :from AND starts_with(topic, :prefix)
         ORDER BY left(topic, 500) COLLATE "C", topic COLLATE "C" LIMIT ${PAGE}`,
        { start: from > prefix ? from : prefix, from, prefix },
      );
      for (const row of rows) if (matches(filter, row.topic) && found.length < limit) found.push(toMessage(row, true));
      const last = rows.at(-1);
      if (last === undefined || rows.length < PAGE) break;
      from = last.topic;
    }
    return found;
  }
}

function newestByTopic(messages: readonly Message[]): Iterable<Message> {
  const newest = new Map<string, Message>();
  for (const message of messages) if ((newest.get(message.topic)?.id ?? '') <= message.id) newest.set(message.topic, message);
  return newest.values();
}
