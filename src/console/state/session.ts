import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import type { Answer } from '../api/client';

export interface Session {
  readonly access: Answer<'/v1/access'>['access'];
  readonly version: string;
  /** The server has a token, so the user can sign out. */
  readonly hasToken: boolean;
  /** Every error passes here: a 401 leads back to the form for the token. */
  readonly noticeProblem: (error: unknown) => void;
  readonly signOut: () => void;
}

export const SessionContext = createContext<Session | null>(null);

export function useSession(): Session {
  const session = useContext(SessionContext);
  if (session === null) throw new Error('There is no session here.');
  return session;
}

/** READ_TOKEN changes nothing: what changes something is not shown. */
export function useMayChange(): boolean {
  return useSession().access === 'admin';
}
