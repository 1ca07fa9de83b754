import { afterPrefix, keyOf, NUMBER_BYTES, readNumber, textsOf } from '../../embedded/keys';
import type { LongTable } from '../../embedded/long-table';
import { prefixed } from '../../embedded/table';
import { lastPositions } from '../shared/newest';
import { seenDay } from '../shared/unseen';
import { versioned, versionOf } from '../shared/versions';
import type { Position, PositionStore, Purged } from '../store';
import { behind, timeOf, type Database } from './database';
import { TimeIndex } from './time-index';

/** The day in the index by time, and the version as a double. JSON follows. */
const HEADER_BYTES = NUMBER_BYTES + 8;
const NOTHING = Buffer.alloc(0);

type Fields = readonly [id: string, receipts: readonly string[]];

/** Read positions by consumer and topic, with an index by topic and consumer, and one by time. */
export class Positions implements PositionStore {
  readonly table: LongTable;
  private readonly readers: LongTable;
  private readonly seen: TimeIndex;

  constructor(private readonly db: Database) {
    this.table = db.longTable('positions');
    this.readers = db.longTable('readers');
    this.seen = new TimeIndex(db.longTable('seen'), 'position');
  }

  getPositions(consumer: string, topics: readonly string[]): Promise<Position[]> {
    return this.db.read(() => topics.flatMap((topic) => this.get(consumer, topic)));
  }

  private get(consumer: string, topic: string): Position[] {
    const key = keyOf(consumer, topic);
    const value = this.table.get(key);
    return value === undefined ? [] : [toPosition(key, value)];
  }

  listPositions(consumer: string, after: string, limit: number): Promise<Position[]> {
    return this.db.read(() => {
      const range = { from: behind(keyOf(consumer, after)), to: afterPrefix(keyOf(consumer)) as Buffer, limit };
      return Array.from(this.table.entries(range), ({ key, value }) => toPosition(key, value));
    });
  }

  positionsOfTopic(topic: string): Promise<Position[]> {
    return this.db.read(() => {
      const consumers = Array.from(prefixed(this.readers, keyOf(topic)), ({ key }) => textsOf(key)[1] ?? '');
      return consumers.flatMap((consumer) => this.get(consumer, topic));
    });
  }

  putPositions(positions: readonly Position[]): Promise<void> {
    const { kept, gone } = lastPositions(positions);
    return this.db.write(() => {
      for (const position of kept) this.put(position);
      for (const position of gone) {
        const key = keyOf(position.consumer, position.topic);
        const stored = this.table.get(key);
        if (stored !== undefined && storedVersion(stored) <= versionOf(position)) this.remove(key, readNumber(stored));
      }
    });
  }

  private put(position: Position): void {
    const key = keyOf(position.consumer, position.topic);
    const stored = this.table.get(key);
    if (stored !== undefined && storedVersion(stored) > versionOf(position)) return;
    const day = timeOf(seenDay(position, Date.now()));
    if (stored === undefined) this.readers.put(keyOf(position.topic, position.consumer), NOTHING);
    this.seen.move(stored === undefined ? null : readNumber(stored), day, key);
    this.table.put(key, toValue(position, day));
  }

  private remove(key: Buffer, day: number): void {
    const [consumer = '', topic = ''] = textsOf(key);
    this.table.remove(key);
    this.readers.remove(keyOf(topic, consumer));
    this.seen.remove(day, key);
  }

  purgePositions(before: number, limit: number): Promise<Purged> {
    return this.db.purge(limit, (step) => {
      const due = this.seen.due(before, step);
      for (const { key, time } of due) this.remove(key, time);
      return { removed: due.length, more: due.length >= step };
    });
  }
}

const storedVersion = (value: Buffer): number => value.readDoubleBE(NUMBER_BYTES);

function toValue(position: Position, day: number): Buffer {
  const header = Buffer.allocUnsafe(HEADER_BYTES);
  header.writeUIntBE(day, 0, NUMBER_BYTES);
  header.writeDoubleBE(versionOf(position), NUMBER_BYTES);
  return Buffer.concat([header, Buffer.from(JSON.stringify([position.id, position.receipts] satisfies Fields))]);
}

export function toPosition(key: Buffer, value: Buffer): Position {
  const [consumer = '', topic = ''] = textsOf(key);
  const [id, receipts] = JSON.parse(value.toString('utf8', HEADER_BYTES)) as Fields;
  return { consumer, topic, id, receipts, ...versioned(storedVersion(value)) };
}
