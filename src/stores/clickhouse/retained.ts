import type { Message, MessageRef } from '../../mqtt/message';
import { saveOrBisect } from '../shared/bisect';
import { newestMessages } from '../shared/newest';
import type { Refusal, RetainedRef, RetainedStore, TopicQuery } from '../store';
import type { Client } from './client';
import { tick } from './clock';
import { isOneOf, RETAINED_RANK as RANK } from './keys';
import { COLUMNS, toMessage, toRow, type MessageRow } from './rows';
import { matchingTopics } from './topics';

interface Candidate {
  readonly topic: string;
  readonly newest: string;
  readonly gone: number;
}

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
        batch.map((message) => ({ ...toRow(message), deleted: 0, version: tick() })),
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
    const topics = await matchingTopics<Candidate>(
      this.db,
      {
        table: 'mqtt_retain',
        columns: `argMax(msgid, ${RANK}) AS newest, argMax(deleted, ${RANK}) AS gone`,
        living: (candidates) => {
          const living = candidates.filter(({ gone }) => gone === 0);
          for (const each of living) refs.set(each.topic, { topic: each.topic, id: each.newest });
          return Promise.resolve(living.map(({ topic }) => topic));
        },
      },
      query,
    );
    const found = topics.flatMap((topic) => refs.get(topic) ?? []);
    if (found.length === 0) return [];
    const rows = await this.db.rows<MessageRow>(
      `SELECT ${COLUMNS} FROM mqtt_retain WHERE ${isOneOf(found)} AND deleted = 0 ORDER BY topic, msgid LIMIT 1 BY topic, msgid`,
    );
    return rows.map((row) => toMessage(row, true));
  }
}
