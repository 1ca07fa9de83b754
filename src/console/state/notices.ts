import { createContext } from 'preact';
import { useContext } from 'preact/hooks';

export interface Notice {
  readonly id: number;
  readonly kind: 'ok' | 'problem';
  readonly text: string;
}

export interface Notices {
  readonly notify: (text: string, kind?: Notice['kind']) => void;
}

export const NoticesContext = createContext<Notices>({ notify: () => undefined });

/** Results of actions, shown in a corner and read out by screen readers. */
export function useNotices(): Notices {
  return useContext(NoticesContext);
}
