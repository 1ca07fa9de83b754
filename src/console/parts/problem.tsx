import type { Problem } from '../api/problem';

/** An error as the server tells it: title, detail, and one line for each field that is wrong. */
export function ProblemBox({ problem }: { problem: Problem | null }) {
  if (problem === null) return null;
  return (
    <div class="problem" role="alert">
      <strong>{problem.title}</strong>
      <p>{problem.detail}</p>
      {problem.errors !== undefined && problem.errors.length > 0 && (
        <ul>
          {problem.errors.map(({ path, message }) => (
            <li key={`${path} ${message}`}>
              <code>{path === '' ? 'the body' : path}</code> {message}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
