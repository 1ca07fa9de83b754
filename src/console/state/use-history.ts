import { createContext } from 'preact';
import { useContext, useEffect, useState } from 'preact/hooks';
import { call, readiness, type Answer } from '../api/client';
import { toProblem, type Problem } from '../api/problem';

const SAMPLE_MS = 2_000;
/** The most samples that are kept: those of five minutes. */
export const SAMPLES = 150;

export type Stats = Answer<'/v1/stats'>;
export type Check = Answer<'/readyz'>['checks'][number];

/** The answers of the server at one time; null where it did not answer. */
export interface Sample {
  /** The time of the sample (ms). */
  readonly at: number;
  readonly stats: Stats | null;
  readonly checks: readonly Check[] | null;
}

export interface History {
  /** The samples, oldest first. */
  readonly samples: readonly Sample[];
  readonly problem: Problem | null;
}

export const HistoryContext = createContext<History>({ samples: [], problem: null });
export const useHistory = (): History => useContext(HistoryContext);

/**
 * Asks the server for its numbers as long as the console is open, on every page: the charts have no gap when the user
 * comes back to them.
 */
export function useSampling(noticeProblem: (error: unknown) => void): History {
  const [history, setHistory] = useState<History>({ samples: [], problem: null });

  useEffect(() => {
    const end = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const sample = async (): Promise<void> => {
      const [stats, ready] = await Promise.allSettled([call('get', '/v1/stats', { signal: end.signal }), readiness(end.signal)]);
      if (end.signal.aborted) return;
      if (stats.status === 'rejected') noticeProblem(stats.reason);
      const next: Sample = {
        at: Date.now(),
        stats: stats.status === 'fulfilled' ? stats.value : null,
        checks: ready.status === 'fulfilled' ? ready.value.checks : null,
      };
      setHistory(({ samples }) => ({
        samples: [...samples, next].slice(-SAMPLES),
        problem: stats.status === 'rejected' ? toProblem(stats.reason) : null,
      }));
      timer = setTimeout(() => void sample(), SAMPLE_MS);
    };
    void sample();
    return () => {
      end.abort();
      clearTimeout(timer);
    };
  }, []);

  return history;
}
