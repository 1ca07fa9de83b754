import type { Document } from 'mongodb';
import type { Purged } from '../store';
import type { Database, Id, Write } from './database';

/** The documents that were seen the longest time ago. */
export function due<T extends Document>(db: Database, collection: string, before: number, limit: number): Promise<T[]> {
  const projection = { client_key: 1, state: 1, changed_at: 1 };
  return db.find<T>(collection, { seen_at: { $lte: new Date(before) } }, { sort: { seen_at: 1 }, limit, projection });
}

/**
 * `seenOf`: when the document's client was seen last, by other documents. A document that is still needed gets that as its own seen_at, so that
 * the next look at it comes as late. One that changes meanwhile stays.
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
