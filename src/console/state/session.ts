import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import type { Answer } from '../api/client';

export interface Session {
  readonly access: Answer<'/v1/access'>['access'];
  readonly version: string;
  /** The server has a token, so the user can sign out. */
  readonly hasToken: boolean;
  /** Called with every error, because a 401 must lead back to the form for the token. */
  readonly noticeProblem: (error: unknown) => void;
  readonly signOut: () => void;
}

export const SessionContext = createContext<Session | null>(null);

export function useSession(): Session {
  const session = useContext(SessionContext);
  if (session === null) throw new Error('There is no session here.');
  return session;
}

/** Whether the token may change data. With READ_TOKEN it may not, and buttons for changes are hidden. */
export function useMayChange(): boolean {
  return useSession().access === 'admin';
}
