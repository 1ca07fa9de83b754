import { useState } from 'preact/hooks';
import { toProblem, type Problem } from '../api/problem';
import { useLoad } from './use-load';
import { useSession } from './session';

/** One page of a list, and the cursor of the next one. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly next: string | null;
}

export interface Paged<T> {
  readonly items: readonly T[] | null;
  readonly problem: Problem | null;
  readonly isLoading: boolean;
  /** Loads the next page; null if there is none. */
  readonly more: (() => void) | null;
  readonly reload: () => void;
}

/** A list that is read page by page, and begins anew when `key` changes. */
export function usePages<T>(key: string, load: (after: string | undefined, signal?: AbortSignal) => Promise<Page<T>>): Paged<T> {
  const session = useSession();
  const first = useLoad(key, (signal) => load(undefined, signal));
  const [later, setLater] = useState<{ of: unknown; items: readonly T[]; next: string | null; problem: Problem | null } | null>(null);
  const [isLoadingMore, setLoadingMore] = useState(false);
  // If the first page has changed, the pages after it are out of date.
  const behind = later !== null && later.of === first.data ? later : null;
  const next = behind === null ? (first.data?.next ?? null) : behind.next;

  const loadMore = async (after: string): Promise<void> => {
    const before = behind?.items ?? [];
    setLoadingMore(true);
    try {
      const page = await load(after);
      setLater({ of: first.data, items: [...before, ...page.items], next: page.next, problem: null });
    } catch (error) {
      session.noticeProblem(error);
      setLater({ of: first.data, items: before, next: after, problem: toProblem(error) });
    }
    setLoadingMore(false);
  };

  return {
    items: first.data === null ? null : [...first.data.items, ...(behind?.items ?? [])],
    problem: first.problem ?? behind?.problem ?? null,
    isLoading: first.isLoading || isLoadingMore,
    more: next === null ? null : () => void loadMore(next),
    reload: first.reload,
  };
}
