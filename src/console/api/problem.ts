import type { components } from '../../contract/openapi';

export type Problem = components['schemas']['Problem'];

/** An answer that reports an error, as RFC 9457 describes. */
export class ApiProblem extends Error {
  override readonly name = 'ApiProblem';
  constructor(readonly problem: Problem) {
    super(problem.detail);
  }

  /** The token is missing or wrong. */
  get isSignedOut(): boolean {
    return this.problem.status === 401;
  }
}

/**
 * The error of an answer. Missing fields are filled in, because a proxy in front of the server may answer in another
 * form.
 */
export async function problemOf(answer: Response): Promise<ApiProblem> {
  const body = (await answer.json().catch(() => null)) as Partial<Problem> | null;
  const title = body?.title ?? 'The server gave an unexpected answer';
  const detail = body?.detail ?? `The status was ${answer.status} ${answer.statusText}.`;
  return new ApiProblem({
    type: body?.type ?? 'about:blank',
    title,
    status: answer.status,
    detail,
    ...(body?.errors !== undefined && { errors: body.errors }),
  });
}

export function toProblem(error: unknown): Problem {
  if (error instanceof ApiProblem) return error.problem;
  const detail = error instanceof Error ? error.message : String(error);
  return { type: 'about:blank', title: 'The console has an error', status: 0, detail };
}
