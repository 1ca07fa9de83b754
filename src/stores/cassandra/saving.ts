import { RefusedError } from '../../base/errors';
import type { Message } from '../../mqtt/message';
import { firstOfEachId } from '../shared/first-of-each';
import type { Refusal } from '../store';
import type { Bound, Database } from './database';
import { ttlOf, type ExpiryIndex } from './expiry';
import { byTopic, eachGroup } from './groups';
import type { NotedTopics } from './noted-topics';
import { OldTombstones } from './old-tombstones';
import { contentOf, fitsKey } from './rows';
import { checkLanded, freshTimestamp } from './timestamps';
import type { Tombstones } from './tombstones';

export interface SaverParts {
  readonly tombstones: Tombstones;
  readonly expiry: ExpiryIndex;
  readonly topics: NotedTopics;
}

/** A message with the timestamp of its write (microseconds). */
type Timed = Message & { readonly timestamp: number };

/** What the store knows of late messages. */
interface Known {
  readonly removed: readonly string[];
  readonly stored: readonly string[];
}

/** What a message takes beside its payload: ids, times, MQTT 5 properties. */
const BYTES_BESIDE = 500;
const sizeOf = ({ payload, topic }: Message): number => payload.length + topic.length + BYTES_BESIDE;

/** Writes messages. timestamps.ts explains why a removed message does not come back. */
export class MessageSaver {
  private readonly oldTombstones: OldTombstones;

  constructor(
    private readonly db: Database,
    private readonly parts: SaverParts,
  ) {
    this.oldTombstones = new OldTombstones(db);
  }

  /**
   * One write for each topic of the batch, and a few for all of it. Late messages take two reads for each topic before.
   * An interrupted call is repeated as a whole. So topic and expiry of a message that is stored already are entered, too.
   */
  async save(messages: readonly Message[], now: number): Promise<Refusal[]> {
    const batch = firstOfEachId(messages);
    const start = Date.now();
    const timestamp = this.db.timestamp();
    const { removed, stored } = await this.look(batch, now);
    const wanted = batch.filter(({ id }) => !removed.has(id));
    const missing = wanted
      .filter(({ id }) => !stored.has(id))
      .map((message) => ({ ...message, timestamp: freshTimestamp(message.id, now) ?? timestamp }));
    const keyed = wanted.filter(({ topic }) => fitsKey(topic));
    const topics = keyed.map(({ topic }) => topic);
    const refusals: Refusal[] = [];
    await Promise.all([
      eachGroup(byTopic(missing, sizeOf), sizeOf, async (group) => {
        refusals.push(...(await this.write(group, now)));
      }),
      this.parts.topics.note(topics, timestamp),
      this.parts.expiry.note(keyed, now, timestamp),
    ]);
    checkLanded(start);
    const reasons = new Map(refusals.map((refusal) => [refusal.id, refusal]));
    return batch.flatMap(({ id }) => reasons.get(id) ?? []);
  }

  /** Looks for late messages and for their tombstones. For a fresh message it looks only for a tombstone of an earlier release. */
  private async look(batch: readonly Message[], now: number): Promise<{ removed: Set<string>; stored: Set<string> }> {
    const ids = batch.map(({ id }) => id);
    const late = batch.filter(({ id, topic }) => freshTimestamp(id, now) === null && fitsKey(topic));
    const [old, known] = await Promise.all([
      this.oldTombstones.among(ids, now),
      this.db.wave(byTopic(late), (group) => this.knownOf(group, now)),
    ]);
    return {
      removed: new Set([...old, ...known.flatMap(({ removed }) => removed)]),
      stored: new Set(known.flatMap(({ stored }) => stored)),
    };
  }

  private async knownOf(group: readonly Message[], now: number): Promise<Known> {
    const topic = group[0]?.topic ?? '';
    const ids = group.map(({ id }) => id);
    const [removed, stored] = await Promise.all([
      this.parts.tombstones.among(topic, ids, now),
      this.db.rows<{ msgid: string }>('SELECT msgid FROM mqtt_msg WHERE topic = ? AND msgid IN ?', [topic, ids]),
    ]);
    return { removed, stored: stored.map(({ msgid }) => msgid) };
  }

  /** If Cassandra rejects a group, each message is written by itself, to find those that are at fault (promise 13). */
  private async write(group: readonly Timed[], now: number): Promise<Refusal[]> {
    try {
      await this.db.writeTogether(group.flatMap((message) => statementsOf(message, now)));
      return [];
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      const [only, ...others] = group;
      if (only !== undefined && others.length === 0) return [{ id: only.id, reason: error.message }];
      return (await this.db.wave(group, (message) => this.write([message], now))).flat();
    }
  }
}

/**
 * The deletion hides an earlier row with the same id as a whole, so that columns of two rows are never mixed. Absent
 * values are left out, because a null would be stored as a deletion marker.
 */
function statementsOf(message: Timed, now: number): Bound[] {
  const { topic, id, retain, expiresAt, timestamp } = message;
  return [
    { query: 'DELETE FROM mqtt_msg USING TIMESTAMP ? WHERE topic = ? AND msgid = ?', params: [timestamp - 1, topic, id] },
    {
      query: `INSERT INTO mqtt_msg (topic, msgid, retain, sender, username, qos, payload, payload_bin, properties, arrived, published_at,
        expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?`,
      params: [topic, id, retain ? 1 : 0, ...contentOf(message, undefined), timestamp, ttlOf(expiresAt, now)],
    },
  ];
}
