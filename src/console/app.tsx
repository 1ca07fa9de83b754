import { useCallback, useEffect, useState } from 'preact/hooks';
import { call } from './api/client';
import { ApiProblem, toProblem, type Problem } from './api/problem';
import { ProblemBox } from './parts/problem';
import { SignIn } from './pages/sign-in';
import { Shell } from './shell';
import { SessionContext, type Session } from './state/session';
import { token } from './state/token';

type State =
  | { readonly kind: 'asking' }
  | { readonly kind: 'signed-out'; readonly problem: Problem | null }
  | { readonly kind: 'failed'; readonly problem: Problem }
  | { readonly kind: 'signed-in'; readonly access: Session['access']; readonly version: string };

/** How long the console waits after a failed attempt before it asks again (ms). */
const RETRY_MS = 3_000;

/** Asks the server what the token may do, and shows the console or the form for the token. */
export function App() {
  const [state, setState] = useState<State>({ kind: 'asking' });

  const enter = useCallback(async (): Promise<void> => {
    try {
      const { access, version } = await call('get', '/v1/access');
      setState({ kind: 'signed-in', access, version });
    } catch (error) {
      const isRefused = error instanceof ApiProblem && [401, 403].includes(error.problem.status);
      // Without a token the 401 only says that the server has one.
      if (isRefused) setState({ kind: 'signed-out', problem: token.get() === null ? null : toProblem(error) });
      else setState({ kind: 'failed', problem: toProblem(error) });
      if (isRefused) token.clear();
    }
  }, []);

  const signOut = useCallback(() => {
    token.clear();
    setState({ kind: 'signed-out', problem: null });
  }, []);

  const noticeProblem = useCallback((error: unknown) => {
    if (!(error instanceof ApiProblem) || !error.isSignedOut) return;
    token.clear();
    setState({ kind: 'signed-out', problem: error.problem });
  }, []);

  useEffect(() => void enter(), []);
  useEffect(() => {
    if (state.kind !== 'failed') return;
    const timer = setTimeout(() => void enter(), RETRY_MS);
    return () => clearTimeout(timer);
  }, [state]);

  switch (state.kind) {
    case 'asking':
      return <p class="waiting dim">Loading ...</p>;
    case 'failed':
      return (
        <main class="waiting">
          <ProblemBox problem={state.problem} />
        </main>
      );
    case 'signed-out':
      return (
        <SignIn
          problem={state.problem}
          onToken={(value) => {
            token.set(value);
            return enter();
          }}
        />
      );
    case 'signed-in': {
      const { access, version } = state;
      return (
        <SessionContext.Provider value={{ access, version, hasToken: token.get() !== null, noticeProblem, signOut }}>
          <Shell />
        </SessionContext.Provider>
      );
    }
  }
}
