import { useState } from 'preact/hooks';
import type { Problem } from '../api/problem';
import { TextField } from '../parts/field';
import { ProblemBox } from '../parts/problem';

/**
 * The form for the token. It is shown when the server has a token, and again when the server refuses the one that was
 * typed in.
 */
export function SignIn({ problem, onToken }: { problem: Problem | null; onToken: (token: string) => Promise<void> }) {
  const [value, setValue] = useState('');
  const [isBusy, setBusy] = useState(false);
  const submit = async (): Promise<void> => {
    setBusy(true);
    await onToken(value.trim());
    setBusy(false);
  };
  return (
    <main class="sign-in">
      <h1>emqx-offline-store</h1>
      <form
        class="card"
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <TextField
          label="Token"
          isSecret
          value={value}
          onValue={setValue}
          isRequired
          hint="ADMIN_TOKEN of the server, or READ_TOKEN to look without changing anything. The token is kept until you close this tab."
        />
        <ProblemBox problem={problem} />
        <button type="submit" class="primary" disabled={isBusy}>
          Open the console
        </button>
      </form>
    </main>
  );
}
