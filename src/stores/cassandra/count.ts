import type { types } from 'cassandra-driver';
import { MOST_COUNTED } from '../store';
import type { Database } from './database';
import { Limiter } from './limiter';
import { fitsKey } from './rows';

const AT_ONCE = 50_000;
const PER_PAGE = 5_000;
/** A node reads a topic's rows in order to answer their ids. */
const TOPICS_AT_ONCE = 8;
/** So many different topics show how full the rest of the ring is. */
const TOPICS_FOR_AN_ESTIMATE = 1_000;

interface Row {
  readonly position: types.Long;
}

/**
 * Counts up to AT_ONCE rows exactly. With more rows, each call counts the next AT_ONCE of them, and the answer is the
 * result of the last complete round. The first round has no such result. There the answer is an estimate from the part
 * of the ring of tokens that was read, or, if few topics have many rows each, what was counted so far.
 */
export class RowCount {
  private place: string | null = null;
  private counted = 0;
  private topics = 0;
  private last: string | null = null;
  private complete: number | null = null;
  private running: Promise<number> | null = null;

  constructor(private readonly db: Database) {}

  /** Callers at the same time share one count. After an error the next call begins a new round. */
  find(): Promise<number> {
    this.running ??= this.step()
      .catch((error: unknown) => {
        this.restart();
        throw error;
      })
      .finally(() => (this.running = null));
    return this.running;
  }

  private async step(): Promise<number> {
    for (let read = 0; read < AT_ONCE;) {
      const cql = 'SELECT token(topic) AS position FROM mqtt_msg';
      const { rows, next } = await this.db.page<Row>(cql, [], PER_PAGE, this.place);
      read += rows.length;
      this.add(rows);
      this.place = next;
      if (next === null) return this.finish();
    }
    return this.complete ?? this.estimate();
  }

  private add(rows: readonly Row[]): void {
    this.counted += rows.length;
    for (const { position } of rows) {
      const token = position.toString();
      if (token !== this.last) this.topics++;
      this.last = token;
    }
  }

  private finish(): number {
    this.complete = this.counted;
    this.restart();
    return this.complete;
  }

  private restart(): void {
    [this.place, this.counted, this.topics, this.last] = [null, 0, 0, null];
  }

  private estimate(): number {
    return this.topics < TOPICS_FOR_AN_ESTIMATE ? this.counted : Math.round(this.counted / shareOfRing(this.last ?? '0'));
  }
}

/** Tokens range from -2^63 to 2^63 - 1. */
function shareOfRing(token: string): number {
  return (Number(token) + 2 ** 63) / 2 ** 64;
}

/** Cassandra counts by reading: at most MOST_COUNTED rows of a topic, of which the ids alone are answered. */
export async function countTopics(db: Database, topics: readonly string[]): Promise<number[]> {
  const limiter = new Limiter(TOPICS_AT_ONCE);
  return Promise.all(topics.map((topic) => limiter.run(() => countTopic(db, topic))));
}

async function countTopic(db: Database, topic: string): Promise<number> {
  let read = 0;
  if (!fitsKey(topic)) return read;
  for await (const rows of db.pages('SELECT msgid FROM mqtt_msg WHERE topic = ? LIMIT ?', [topic, MOST_COUNTED], PER_PAGE))
    read += rows.length;
  return read;
}
