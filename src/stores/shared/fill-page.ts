import type { TopicQuery } from '../store';

/**
 * A page of what the entries of an index stand for, in their order: topics, or messages by id. An entry may be listed
 * although what it stands for has just gone, or because a process died before it had removed the entry. The page is
 * filled up then: callers take a short page for the last one.
 */
export async function fillPage<E extends string | { readonly id: string }, T>(
  { after, limit }: Pick<TopicQuery, 'after' | 'limit'>,
  entriesAfter: (after: string, limit: number) => Promise<readonly E[]>,
  read: (entries: readonly E[]) => Promise<T[]>,
): Promise<T[]> {
  const found: T[] = [];
  for (let from = after; found.length < limit;) {
    const wanted = limit - found.length;
    const entries = await entriesAfter(from, wanted);
    found.push(...(await read(entries)));
    const last = entries.at(-1);
    if (last === undefined || entries.length < wanted) break;
    from = typeof last === 'string' ? last : last.id;
  }
  return found;
}

/** fillPage() for the topics of an index that match the query's filter. */
export function fillTopics<T>(
  query: TopicQuery,
  index: { list(query: TopicQuery): Promise<string[]> },
  read: (topics: readonly string[]) => Promise<T[]>,
): Promise<T[]> {
  return fillPage(query, (after, limit) => index.list({ ...query, after, limit }), read);
}
