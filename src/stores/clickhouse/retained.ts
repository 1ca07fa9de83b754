import type { Message, MessageRef } from '../../mqtt/message';
import { matches } from '../../mqtt/topic';
import { saveOrBisect } from '../shared/bisect';
import { newestMessages } from '../shared/newest';
import type { Refusal, RetainedRef, RetainedStore, TopicQuery } from '../store';
import type { Client } from './client';
import { tick } from './clock';
import { isOneOf, RETAINED_RANK as RANK } from './keys';
import { text } from './literal';
import { RETAINED_COLUMNS, retainedRow, toRetained, type RetainedRow } from './rows';
import { matchingTopics } from './topics';

/**
 * mqtt_retain. Of each topic's rows the newest counts (RETAINED_RANK), whatever the order of their writes. A deletion
 * is a row, too.
 */
export class RetainedTable implements RetainedStore {
  constructor(private readonly db: Client) {}

  putRetained(messages: readonly Message[]): Promise<Refusal[]> {
    return saveOrBisect(newestMessages(messages), async (batch) => {
      await this.db.insert(
        'mqtt_retain',
        batch.map((message) => ({ ...retainedRow(message), deleted: 0, version: tick() })),
      );
    });
  }

  async deleteRetained(refs: readonly RetainedRef[]): Promise<void> {
    const rows = newestMessages(refs).map(({ topic, id, publishReceivedAt: at }) => ({
      topic,
      msgid: id,
      arrived: at,
      published_at: at,
      deleted: 1,
      version: tick(),
    }));
    await this.db.insert('mqtt_retain', rows);
  }

  /** Reads the topics first, so that payloads of messages that don't match are never read into memory. */
  async listRetained(query: TopicQuery): Promise<Message[]> {
    const refs = new Map<string, MessageRef>();
    const page = async (condition: string, filter: string): Promise<string[]> => {
      const rows = await this.db.rows<{ topic: string; id: string }>(
        `SELECT topic, argMax(msgid, ${RANK}) AS id FROM mqtt_retain WHERE ${condition}
         GROUP BY topic HAVING argMax(deleted, ${RANK}) = 0 ORDER BY topic`,
      );
      const matching = rows.filter(({ topic }) => matches(filter, topic));
      for (const ref of matching) refs.set(ref.topic, ref);
      return matching.map(({ topic }) => topic);
    };
    const has = async (topic: string) => (await page(`topic = ${text(topic)}`, topic)).length > 0;
    const topics = await matchingTopics(this.db, { table: 'mqtt_retain', page, has }, query);
    const found = topics.flatMap((topic) => refs.get(topic) ?? []);
    if (found.length === 0) return [];
    const rows = await this.db.rows<RetainedRow>(
      `SELECT ${RETAINED_COLUMNS} FROM mqtt_retain WHERE ${isOneOf(found)} AND deleted = 0 ORDER BY topic, msgid LIMIT 1 BY topic, msgid`,
    );
    return rows.map(toRetained);
  }
}
