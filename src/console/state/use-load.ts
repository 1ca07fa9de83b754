import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { toProblem, type Problem } from '../api/problem';
import { useSession } from './session';

export interface Loaded<T> {
  readonly data: T | null;
  readonly problem: Problem | null;
  readonly isLoading: boolean;
  /** Loads once more, and keeps what is shown until the answer is there. */
  readonly reload: () => void;
}

/** Loads when `key` changes, and then every `everyMs` (0: never). While a later load fails, the last data stay. */
export function useLoad<T>(key: string, load: (signal: AbortSignal) => Promise<T>, everyMs = 0): Loaded<T> {
  const session = useSession();
  const [round, setRound] = useState(0);
  const [state, setState] = useState<{ key: string; data: T | null; problem: Problem | null }>({ key, data: null, problem: null });
  const [isLoading, setLoading] = useState(true);
  const latest = useRef(load);
  latest.current = load;

  useEffect(() => {
    const end = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const once = async (): Promise<void> => {
      setLoading(true);
      try {
        const data = await latest.current(end.signal);
        if (!end.signal.aborted) setState({ key, data, problem: null });
      } catch (error) {
        if (end.signal.aborted) return;
        session.noticeProblem(error);
        setState((old) => ({ key, data: old.key === key ? old.data : null, problem: toProblem(error) }));
      }
      if (end.signal.aborted) return;
      setLoading(false);
      if (everyMs > 0) timer = setTimeout(() => void once(), everyMs);
    };
    void once();
    return () => {
      end.abort();
      clearTimeout(timer);
    };
  }, [key, round, everyMs]);

  const reload = useCallback(() => setRound((old) => old + 1), []);
  const isCurrent = state.key === key;
  return { data: isCurrent ? state.data : null, problem: isCurrent ? state.problem : null, isLoading, reload };
}
