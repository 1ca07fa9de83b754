import { fillPage } from '../shared/fill-page';
import { lastPositions } from '../shared/newest';
import { compareText } from '../shared/order';
import { seenDay } from '../shared/unseen';
import { versioned, versionOf } from '../shared/versions';
import type { Position, PositionStore, Purged } from '../store';
import type { Command, Database } from './database';
import type { Keys } from './keys';
import { FORGET_FIELD, PUT_POSITION } from './scripts';

type PositionValue = Pick<Position, 'version' | 'id' | 'receipts'>;
type PositionRef = Pick<Position, 'consumer' | 'topic'>;

/** Read positions. */
export class Positions implements PositionStore {
  constructor(
    private readonly db: Database,
    private readonly keys: Keys,
  ) {}

  async getPositions(consumer: string, topics: readonly string[]): Promise<Position[]> {
    if (topics.length === 0) return [];
    const values = await this.db.one<(string | null)[]>('HMGET', this.keys.positions(consumer), ...topics);
    return topics.flatMap((topic, i) => toPosition(consumer, topic, values[i] ?? null));
  }

  listPositions(consumer: string, after: string, limit: number): Promise<Position[]> {
    const key = this.keys.positionTopics(consumer);
    return fillPage(
      { after, limit },
      (from, most) => this.db.one<string[]>('ZRANGEBYLEX', key, from === '' ? '-' : `(${from}`, '+', 'LIMIT', 0, most),
      (topics) => this.getPositions(consumer, topics),
    );
  }

  async positionsOfTopic(topic: string): Promise<Position[]> {
    const consumers = (await this.db.one<string[]>('SMEMBERS', this.keys.readers(topic))).sort(compareText);
    const values = await this.db.all<string | null>(consumers.map((consumer) => ['HGET', this.keys.positions(consumer), topic]));
    return consumers.flatMap((consumer, i) => toPosition(consumer, topic, values[i] ?? null));
  }

  /** The value is written first. The entries that find it are changed only for positions that were written. */
  async putPositions(positions: readonly Position[]): Promise<void> {
    const { kept, gone } = lastPositions(positions);
    const all = [...kept, ...gone];
    const written = await this.db.all<number>(
      all.map((position, i) => [
        'EVAL',
        PUT_POSITION,
        1,
        this.keys.positions(position.consumer),
        position.topic,
        versionOf(position),
        i < kept.length ? toValue(position) : '',
      ]),
    );
    const deleted = gone.filter((_, i) => written[kept.length + i] === 1);
    const index = kept.flatMap((position, i) => (written[i] === 1 ? this.index(position) : []));
    await this.db.all([...index, ...deleted.flatMap((position) => this.unindex(position))]);
    await this.indexAgain(deleted);
  }

  /**
   * Writes the entries of those positions that are there. Another process may have written a position after it was
   * deleted here. Without this nothing would find it.
   */
  private async indexAgain(refs: readonly PositionRef[]): Promise<void> {
    const values = await this.db.all<string | null>(refs.map(({ consumer, topic }) => ['HGET', this.keys.positions(consumer), topic]));
    const there = refs.flatMap(({ consumer, topic }, i) => toPosition(consumer, topic, values[i] ?? null));
    await this.db.all(there.flatMap((position) => this.index(position)));
  }

  private index({ consumer, topic, id, receipts }: Position): Command[] {
    const acked = this.keys.acked(consumer, topic);
    return [
      ['ZADD', this.keys.positionsSeen, seenDay({ receipts }, Date.now()), JSON.stringify([consumer, topic])],
      ['ZADD', this.keys.positionTopics(consumer), 0, topic],
      ['SADD', this.keys.readers(topic), consumer],
      ...(acked === null || id === '' ? [] : [['SET', acked, id] as const]),
    ];
  }

  private unindex({ consumer, topic }: PositionRef): Command[] {
    const acked = this.keys.acked(consumer, topic);
    return [
      ['ZREM', this.keys.positionsSeen, JSON.stringify([consumer, topic])],
      ['ZREM', this.keys.positionTopics(consumer), topic],
      ['SREM', this.keys.readers(topic), consumer],
      ...(acked === null ? [] : [['DEL', acked] as const]),
    ];
  }

  /**
   * A position that changes meanwhile stays. The value itself tells when its consumer was seen, because it may be newer
   * than its entry in the index: another process writes the value first, and may have died before it wrote the entry.
   */
  async purgePositions(before: number, limit: number): Promise<Purged> {
    const members = await this.db.one<string[]>('ZRANGEBYSCORE', this.keys.positionsSeen, '-inf', before, 'LIMIT', 0, limit);
    const found = members.map((member) => {
      const [consumer = '', topic = ''] = JSON.parse(member) as string[];
      return { consumer, topic };
    });
    const values = await this.db.all<string | null>(found.map(({ consumer, topic }) => ['HGET', this.keys.positions(consumer), topic]));
    const read = found.map((ref, i) => ({ ...ref, value: values[i] ?? null }));
    const isSeen = ({ consumer, topic, value }: (typeof read)[number]) =>
      toPosition(consumer, topic, value).some((position) => seenDay(position, 0) > before);
    await this.indexAgain(read.filter(isSeen));
    const due = read.filter((each) => !isSeen(each));
    const deleted = await this.db.all<number>(
      due.map(({ consumer, topic, value }) => ['EVAL', FORGET_FIELD, 1, this.keys.positions(consumer), topic, value ?? '']),
    );
    // If there is no value, a process died before it had removed the entries that find it.
    const gone = due.filter(({ value }, i) => deleted[i] === 1 || value === null);
    await this.db.all(gone.flatMap((position) => this.unindex(position)));
    await this.indexAgain(gone);
    return { removed: deleted.filter((each) => each === 1).length, more: members.length >= limit };
  }
}

function toValue(position: Position): string {
  return JSON.stringify({ ...versioned(versionOf(position)), id: position.id, receipts: position.receipts } satisfies PositionValue);
}

function toPosition(consumer: string, topic: string, value: string | null): Position[] {
  if (value === null) return [];
  return [{ consumer, topic, ...(JSON.parse(value) as PositionValue) }];
}
