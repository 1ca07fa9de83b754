import type { Document } from 'mongodb';
import { RefusedError, RetryableError } from '../../base/errors';
import { fillPage } from '../shared/fill-page';
import { lastPositions } from '../shared/newest';
import { compareText } from '../shared/order';
import { seenDay } from '../shared/unseen';
import { versioned, versionOf } from '../shared/versions';
import type { Position, PositionStore, Purged } from '../store';
import type { Database, Query, Write } from './database';
import { keyOf } from './keys';
import { due, purgeUnseen } from './purge';
import { TopicIndex } from './topic-index';

interface PositionDocument extends Document {
  readonly clientid: string;
  readonly topic: string;
  readonly msgid: string;
  readonly receipts?: readonly string[];
  readonly version?: number;
}

/** The fields that identify a position. */
interface KeyDocument extends Document {
  readonly client_key: string;
  readonly topic_key: string;
}

type Numbers = ReadonlyMap<string, unknown>;

const COLLECTION = 'mqtt_acked';
const BY_CLIENT_AND_TOPIC = 'mqtt_acked_client_key_topic_key';
const ATTEMPTS = 10;

/** A document of EMQX's plugin whose message is gone contains no position, and has no msgid. */
const KNOWN = { msgid: { $type: 'string' } };

/** mqtt_acked. */
export class PositionCollection implements PositionStore {
  constructor(private readonly db: Database) {}

  async getPositions(consumer: string, topics: readonly string[]): Promise<Position[]> {
    if (topics.length === 0) return [];
    const filter = { client_key: keyOf(consumer), topic_key: { $in: topics.map(keyOf) }, ...KNOWN };
    return (await this.db.find<PositionDocument>(COLLECTION, filter)).map(toPosition);
  }

  listPositions(consumer: string, after: string, limit: number): Promise<Position[]> {
    const index = new TopicIndex(this.db, COLLECTION, { hint: BY_CLIENT_AND_TOPIC }, { client_key: keyOf(consumer), ...KNOWN });
    const topicsAfter = async (from: string, most: number): Promise<string[]> => {
      const topics: string[] = [];
      for await (const topic of index.behind(from)) if (topics.push(topic) >= most) break;
      return topics;
    };
    return fillPage({ after, limit }, topicsAfter, async (topics) =>
      (await this.getPositions(consumer, topics)).sort((a, b) => compareText(a.topic, b.topic)),
    );
  }

  async positionsOfTopic(topic: string): Promise<Position[]> {
    const found = await this.db.find<PositionDocument>(COLLECTION, { topic_key: keyOf(topic), ...KNOWN });
    return found.map(toPosition);
  }

  /**
   * If the condition on `version` finds no document, the database inserts one. That fails if there is a document with a
   * greater version, or one that another writer has just inserted. Only reading tells which.
   */
  async putPositions(positions: readonly Position[]): Promise<void> {
    const { kept, gone } = lastPositions(positions);
    await this.db.upsert(
      COLLECTION,
      gone.map((position): Write => ({ deleteMany: { filter: notNewer(position) } })),
    );
    const numbers = await this.messageNumbers(kept);
    let left: readonly Position[] = kept;
    for (let attempt = 0; left.length > 0 && attempt < ATTEMPTS; attempt++) {
      const { refused, duplicates } = await this.db.bulk(
        COLLECTION,
        left.map((position) => toOperation(position, numbers)),
      );
      if (refused[0] !== undefined) throw new RefusedError(refused[0].reason);
      if (duplicates.length === 0) return;
      left = await this.withoutOlder(left);
    }
    if (left.length > 0) throw new RetryableError(`too many writers of the same documents in ${COLLECTION}`);
  }

  private async withoutOlder(positions: readonly Position[]): Promise<Position[]> {
    const newer = await this.db.find<KeyDocument>(
      COLLECTION,
      { $or: positions.map((position) => ({ ...keysOf(position), version: { $gt: versionOf(position) } })) },
      { projection: { _id: 0, client_key: 1, topic_key: 1 } },
    );
    const keys = new Set(newer.map(pairOf));
    return positions.filter((position) => !keys.has(pairOf(keysOf(position))));
  }

  async purgePositions(before: number, limit: number): Promise<Purged> {
    const found = await due<Document>(this.db, COLLECTION, before, limit);
    return purgeUnseen(this.db, COLLECTION, found, () => 0, { before, limit });
  }

  /** The _id of the message, which EMQX's own readers use. */
  private async messageNumbers(positions: readonly Position[]): Promise<Numbers> {
    const ids = positions.map(({ id }) => id).filter((id) => id !== '');
    if (ids.length === 0) return new Map();
    const found = await this.db.find<Document>('mqtt_msg', { msgid: { $in: ids } }, { projection: { msgid: 1 } });
    return new Map(found.map(({ msgid, _id }) => [msgid as string, _id]));
  }
}

const keysOf = ({ consumer, topic }: Position): KeyDocument => ({ client_key: keyOf(consumer), topic_key: keyOf(topic) });
const pairOf = ({ client_key, topic_key }: KeyDocument): string => JSON.stringify([client_key, topic_key]);

/** Finds the position's document unless its version is greater. A missing version means 0. */
const notNewer = (position: Position): Query => ({ ...keysOf(position), version: { $not: { $gt: versionOf(position) } } });

/** updateMany is used for the reason given at Write in database.ts. */
function toOperation(position: Position, numbers: Numbers): Write {
  const { consumer, topic, id, receipts } = position;
  const [version, number] = [versionOf(position), numbers.get(id)];
  const fields = {
    ...{ clientid: consumer, topic, msgid: id, receipts, seen_at: new Date(seenDay({ receipts }, Date.now())) },
    ...versioned(version),
    ...(number !== undefined && { mongo_id: number }),
  };
  const update = number === undefined ? { $set: fields, $unset: { mongo_id: '' } } : { $set: fields };
  return { updateMany: { filter: notNewer(position), update, upsert: true } };
}

const toPosition = ({ clientid, topic, msgid, receipts, version }: PositionDocument): Position => ({
  ...{ consumer: clientid, topic, id: msgid, receipts: receipts ?? [] },
  ...versioned(version),
});
