import type { Document } from 'mongodb';
import { RefusedError, RetryableError } from '../../base/errors';
import { compareText } from '../shared/order';
import type { Database, Write } from './database';

/** A document of which the newest version counts. */
export interface Version {
  /** Its unique key. */
  readonly key: string;
  readonly version: string | Date;
  readonly fields: Document;
}

export interface VersionNames {
  readonly collection: string;
  /** The field with the unique key, and the one that must grow. */
  readonly key: string;
  readonly version: string;
}

/**
 * Writes those that are not older than what is stored. Where the condition finds nothing the database inserts, which fails where there
 * is a newer one, but also where another writer has just inserted an older one: only a look tells which.
 */
export async function putNewest(db: Database, names: VersionNames, versions: readonly Version[]): Promise<void> {
  let left = versions;
  for (let attempt = 0; left.length > 0 && attempt < 10; attempt++) {
    const { refused, duplicates } = await db.bulk(names.collection, left.map((each) => toOperation(names, each)));
    if (refused[0] !== undefined) throw new RefusedError(refused[0].reason);
    if (!duplicates) return;
    left = await withoutOlder(db, names, left);
  }
  if (left.length > 0) throw new RetryableError(`too many writers of the same documents in ${names.collection}`);
}

/** updateMany, as for tombstones. */
function toOperation(names: VersionNames, { key, version, fields }: Version): Write {
  const filter = { [names.key]: key, [names.version]: { $lte: version } };
  return { updateMany: { filter, update: { $set: { ...fields, [names.version]: version } }, upsert: true } };
}

async function withoutOlder(db: Database, names: VersionNames, versions: readonly Version[]): Promise<Version[]> {
  const found = await db.find<Document>(
    names.collection,
    { [names.key]: { $in: versions.map(({ key }) => key) } },
    { projection: { _id: 0, [names.key]: 1, [names.version]: 1 } },
  );
  const stored = new Map(found.map((each) => [each[names.key] as string, each[names.version] as string | Date | undefined]));
  return versions.filter(({ key, version }) => !isOlder(version, stored.get(key)));
}

function isOlder(version: string | Date, stored: string | Date | undefined): boolean {
  if (stored === undefined) return false;
  if (version instanceof Date || stored instanceof Date) return version < stored;
  return compareText(version, stored) < 0;
}
