import type { Document } from 'mongodb';
import { RefusedError, RetryableError } from '../../base/errors';
import type { Database, Write } from './database';

/** A document of which only the newest version is kept. */
export interface Version {
  /** The document's unique key. */
  readonly key: string;
  /** Finds the stored document unless it is newer. */
  readonly notNewer: Document;
  readonly isNewer: (stored: Document) => boolean;
  readonly fields: Document;
}

export interface VersionNames {
  readonly collection: string;
  /** The field with the unique key, and the fields that tell which version is newer. */
  readonly key: string;
  readonly versions: readonly string[];
}

/**
 * Writes the versions that are not older than the stored ones. If the condition finds no document, the database inserts
 * one. That fails if there is a newer document, but also if another writer has just inserted an older one. Only reading
 * tells which.
 */
export async function putNewest(db: Database, names: VersionNames, versions: readonly Version[]): Promise<void> {
  let left = versions;
  for (let attempt = 0; left.length > 0 && attempt < 10; attempt++) {
    const { refused, duplicates } = await db.bulk(
      names.collection,
      left.map((each) => toOperation(names, each)),
    );
    if (refused[0] !== undefined) throw new RefusedError(refused[0].reason);
    if (duplicates.length === 0) return;
    left = await withoutOlder(db, names, left);
  }
  if (left.length > 0) throw new RetryableError(`too many writers of the same documents in ${names.collection}`);
}

/** updateMany is used for the reason given at Write in database.ts. */
function toOperation(names: VersionNames, { key, notNewer, fields }: Version): Write {
  return { updateMany: { filter: { [names.key]: key, ...notNewer }, update: { $set: fields }, upsert: true } };
}

async function withoutOlder(db: Database, names: VersionNames, versions: readonly Version[]): Promise<Version[]> {
  const found = await db.find<Document>(
    names.collection,
    { [names.key]: { $in: versions.map(({ key }) => key) } },
    { projection: { _id: 0, ...Object.fromEntries([names.key, ...names.versions].map((name) => [name, 1])) } },
  );
  const stored = new Map(found.map((each) => [each[names.key] as string, each]));
  return versions.filter(({ key, isNewer }) => {
    const other = stored.get(key);
    return other === undefined || !isNewer(other);
  });
}
