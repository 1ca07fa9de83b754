import type { Document } from 'mongodb';
import type { Purged } from '../store';
import type { Database, Id, Write } from './database';

/** The documents that were not seen for the longest time. */
export function due<T extends Document>(db: Database, collection: string, before: number, limit: number): Promise<T[]> {
  const projection = { client_key: 1, state: 1, changed_at: 1 };
  return db.find<T>(collection, { seen_at: { $lte: new Date(before) } }, { sort: { seen_at: 1 }, limit, projection });
}

/**
 * Deletes documents whose client was not seen lately. A document that is still needed gets the result of `seenOf` as
 * its own seen_at, so that its next check is postponed accordingly. A document that changes meanwhile stays.
 * @param seenOf when the document's client was last seen according to other documents.
 */
export async function purgeUnseen<T extends Document>(
  db: Database,
  collection: string,
  found: readonly T[],
  seenOf: (each: T) => number,
  { before, limit }: { readonly before: number; readonly limit: number },
): Promise<Purged> {
  const old = { seen_at: { $lte: new Date(before) } };
  const idsOf = (documents: readonly T[]) => ({ _id: { $in: documents.map(({ _id }) => _id as Id) }, ...old });
  const [kept, gone] = [found.filter((each) => seenOf(each) > before), found.filter((each) => seenOf(each) <= before)];
  await db.upsert(
    collection,
    kept.map((each): Write => ({ updateMany: { filter: idsOf([each]), update: { $set: { seen_at: new Date(seenOf(each)) } } } })),
  );
  const removed = gone.length === 0 ? 0 : await db.delete(collection, idsOf(gone));
  return { removed, more: found.length >= limit };
}
