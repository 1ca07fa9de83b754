import type { Document } from 'mongodb';
import { RefusedError, RetryableError } from '../../base/errors';
import { inCommands } from './commands';
import type { Database } from './database';

const COLLECTION = 'mqtt_tombstone';
const ATTEMPTS = 10;

/** mqtt_tombstone: the ids of removed messages as _id, each with the time until which it holds. */
export class Tombstones {
  constructor(private readonly db: Database) {}

  /**
   * Those of the ids whose tombstone holds. The read concern is local, whatever the URL says, because this look must see
   * everything that the primary has written, also what a majority has not confirmed yet.
   */
  async among(ids: readonly string[], now: number): Promise<string[]> {
    const found = await this.db.find<Document & { _id: string }>(
      COLLECTION,
      { _id: { $in: [...ids] }, expires_at: { $gt: new Date(now) } },
      { projection: { _id: 1 }, readConcern: { level: 'local' }, batchSize: ids.length + 1 },
    );
    return found.map(({ _id }) => _id);
  }

  /**
   * Of a tombstone that exists already, the longer time counts. Nearly all ids are new, so all are inserted, and only those
   * that existed are updated. A tombstone that is purged between these two commands is inserted by the next attempt.
   */
  async put(ids: readonly string[], until: number): Promise<void> {
    const expires_at = new Date(until);
    let left = ids;
    for (let attempt = 0; left.length > 0; attempt++) {
      if (attempt >= ATTEMPTS) throw new RetryableError(`too many writers of the same documents in ${COLLECTION}`);
      const existing = await this.insert(left, expires_at);
      if (existing.length === 0) return;
      const updated = await this.db.update(COLLECTION, { _id: { $in: existing } }, { $max: { expires_at } });
      left = updated === existing.length ? [] : existing;
    }
  }

  /** @returns the ids that have a tombstone already. */
  private async insert(ids: readonly string[], expires_at: Date): Promise<string[]> {
    const existing: string[] = [];
    const bytesOf = (id: string) => id.length;
    await inCommands(ids, bytesOf, async (part) => {
      const inserts = part.map((_id) => ({ insertOne: { document: { _id, expires_at } } }));
      const { refused, duplicates } = await this.db.bulk(COLLECTION, inserts);
      if (refused[0] !== undefined) throw new RefusedError(refused[0].reason);
      existing.push(...duplicates.flatMap((index) => part[index] ?? []));
    });
    return existing;
  }
}
