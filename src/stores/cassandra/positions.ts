import { compareText } from '../shared/order';
import type { Position } from '../store';
import type { Database } from './database';

interface PositionRow {
  readonly clientid: string;
  readonly topic: string;
  readonly msgid: string | null;
  readonly receipts: string | null;
}

const COLUMNS = 'clientid, topic, msgid, receipts';
const PAGE = 500;

/** acked, and mqtt_acked_topic, which says who has a position in a topic. */
export class PositionTable {
  constructor(private readonly db: Database) {}

  async get(consumer: string, topics: readonly string[]): Promise<Position[]> {
    const found = await this.db.wave([...new Set(topics)], (topic) => this.one(consumer, topic));
    return found.flat();
  }

  private async one(consumer: string, topic: string): Promise<Position[]> {
    return toPositions(await this.db.rows<PositionRow>(`SELECT ${COLUMNS} FROM acked WHERE clientid = ? AND topic = ?`, [consumer, topic]));
  }

  async list(consumer: string, after: string, limit: number): Promise<Position[]> {
    const found: Position[] = [];
    for (let from = after, asked = Math.min(PAGE, limit); asked > 0; asked = Math.min(PAGE, limit - found.length)) {
      const rows = await this.db.rows<PositionRow>(
        `SELECT ${COLUMNS} FROM acked WHERE clientid = ? AND topic > ? ORDER BY topic ASC LIMIT ?`,
        [consumer, from, asked],
      );
      found.push(...toPositions(rows));
      if (rows.length < asked) break;
      from = rows.at(-1)?.topic ?? from;
    }
    return found;
  }

  /** The index first: a position that it does not know would not be found. */
  async put(positions: readonly Position[]): Promise<void> {
    const last = [...new Map(positions.map((each) => [JSON.stringify([each.consumer, each.topic]), each])).values()];
    const isGone = ({ id, receipts }: Position) => id === '' && receipts.length === 0;
    await this.db.wave(
      last.filter((each) => !isGone(each)),
      ({ consumer, topic }) => this.db.write('INSERT INTO mqtt_acked_topic (topic, clientid) VALUES (?, ?)', [topic, consumer]),
    );
    await this.db.wave(last, (position) => (isGone(position) ? this.remove(position) : this.write(position)));
  }

  private write({ consumer, topic, id, receipts }: Position): Promise<void> {
    return this.db.write(
      'INSERT INTO acked (clientid, topic, msgid, receipts) VALUES (?, ?, ?, ?)',
      [consumer, topic, id === '' ? null : id, JSON.stringify(receipts)],
    );
  }

  /** Its entry in the index stays: to remove it would race with the next position of the same consumer. */
  private remove({ consumer, topic }: Position): Promise<void> {
    return this.db.write('DELETE FROM acked WHERE clientid = ? AND topic = ?', [consumer, topic]);
  }

  async ofTopic(topic: string): Promise<Position[]> {
    const found: Position[] = [];
    for await (const rows of this.db.pages<{ clientid: string }>('SELECT clientid FROM mqtt_acked_topic WHERE topic = ?', [topic], PAGE)) {
      found.push(...(await this.db.wave(rows, ({ clientid }) => this.one(clientid, topic))).flat());
    }
    return found.sort((a, b) => compareText(a.consumer, b.consumer));
  }
}

/** EMQX's own row without an id says nothing. */
function toPositions(rows: readonly PositionRow[]): Position[] {
  return rows
    .filter(({ msgid, receipts }) => msgid !== null || receipts !== null)
    .map(({ clientid, topic, msgid, receipts }) => ({
      consumer: clientid,
      topic,
      id: msgid ?? '',
      receipts: receipts === null ? [] : (JSON.parse(receipts) as string[]),
    }));
}
