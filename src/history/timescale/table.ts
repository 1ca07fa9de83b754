import type { Message } from '../../mqtt/message';
import type { Database } from '../../stores/postgres/database';
import { fitsText } from '../../stores/shared/text';
import type { Refusal } from '../../stores/store';
import { appendPoints } from '../append';

/** mqtt_history, the table that is used without `templates=`. */
export class HistoryTable {
  constructor(private readonly db: Database) {}

  async append(messages: readonly Message[]): Promise<Refusal[]> {
    return appendPoints(messages, {
      render: (message) => ({ points: [message], bytes: message.payload.length + message.topic.length }),
      write: (page) => this.insert(page),
    });
  }

  /**
   * One array per column, so that a page is one statement with a fixed number of bindings. The rows are in order, so
   * that two batches with the same ids can't block each other. Only a message that is stored already is left out: what
   * an operator's own unique key rejects is an error.
   */
  private async insert(messages: readonly Message[]): Promise<void> {
    await this.db.rows(
      `INSERT INTO mqtt_history (msgid, sender, username, topic, qos, retain, payload, payload_bin, properties, arrived)
       SELECT msgid, sender, username, topic, qos, retain, payload, payload_bin, properties, to_timestamp(arrived / 1000.0)
       FROM unnest(:msgids::text[], :senders::text[], :usernames::text[], :topics::text[], :qoss::int[], :retains::int[], :payloads::text[],
                   :binaries::bytea[], :properties::json[], :arrived::bigint[])
         AS m(msgid, sender, username, topic, qos, retain, payload, payload_bin, properties, arrived)
       ORDER BY msgid COLLATE "C"
       ON CONFLICT (msgid, arrived) DO NOTHING`,
      {
        msgids: messages.map(({ id }) => id),
        senders: messages.map(({ clientid }) => clientid),
        usernames: messages.map(({ username }) => username),
        topics: messages.map(({ topic }) => topic),
        qoss: messages.map(({ qos }) => qos),
        retains: messages.map(({ retain }) => (retain ? 1 : 0)),
        payloads: messages.map(({ payload }) => (fitsText(payload) ? payload.toString() : null)),
        binaries: messages.map(({ payload }) => (fitsText(payload) ? null : payload)),
        properties: messages.map(({ properties }) => JSON.stringify(properties)),
        arrived: messages.map(({ publishReceivedAt }) => publishReceivedAt),
      },
    );
  }
}
