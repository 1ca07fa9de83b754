import type { ServerResponse } from 'node:http';
import { ClosedError, OverloadedError, RefusedError, RetryableError } from '../base/errors';
import type { Flaw } from '../contract/flaw';
import { InvalidEventError } from '../events';

const TITLES = {
  validation: [400, 'The request is not valid'],
  malformed: [400, 'The request cannot be read'],
  unauthorized: [401, 'A bearer token is required'],
  forbidden: [403, 'This token may not do this'],
  'not-found': [404, 'Not found'],
  'method-not-allowed': [405, 'Method not allowed'],
  refused: [409, 'Cannot be done as it is'],
  'too-large': [413, 'The body is too large'],
  'unsupported-media-type': [415, 'The body must be JSON'],
  'headers-too-large': [431, 'The headers are too large'],
  overloaded: [429, 'Too many requests are waiting'],
  internal: [500, 'Internal error'],
  unavailable: [503, 'A required service is not available'],
} as const;

export type ProblemKind = keyof typeof TITLES;

/** Every answer has these headers: no cache keeps it, and no browser guesses its type. */
export const PROTECTIVE_HEADERS = { 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' };

const RETRY_AFTER_SECONDS = { overloaded: '1', unavailable: '5' };

export interface ProblemExtras {
  readonly flaws?: readonly Flaw[];
  readonly headers?: Readonly<Record<string, string>>;
}

/** An answer that reports an error, as RFC 9457 describes. */
export class Problem extends Error {
  override readonly name = 'Problem';
  readonly status: number;
  constructor(
    readonly kind: ProblemKind,
    detail: string,
    readonly extras: ProblemExtras = {},
  ) {
    super(detail);
    this.status = TITLES[kind][0];
  }
}

const UNKNOWN = 'The server could not process the request. Send it again; the log of the server has the details.';

export function validationProblem(flaws: readonly Flaw[]): Problem {
  const detail = flaws
    .slice(0, 3)
    .map(({ path, message }) => `${path === '' ? 'the body' : path} ${message}`)
    .join('; ');
  return new Problem('validation', flaws.length > 3 ? `${detail}; ...` : detail, { flaws });
}

/**
 * Turns an error into the answer for the caller.
 * @param unexpected the kind for errors without a class of their own. For events it is `unavailable`, because EMQX
 *   loses an event that is answered 500 and sends it again after a 503.
 */
export function toProblem(error: unknown, unexpected: 'internal' | 'unavailable'): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof InvalidEventError) return validationProblem(error.flaws);
  if (error instanceof OverloadedError)
    return new Problem('overloaded', 'Too many events are waiting for the queue. Send the request again.');
  if (error instanceof RetryableError || error instanceof ClosedError) {
    return new Problem('unavailable', 'Send the request again. /readyz and the log say what is not reachable.');
  }
  if (error instanceof RefusedError && unexpected === 'internal') return new Problem('refused', error.message);
  return (
    fromExpress(error) ??
    new Problem(unexpected, unexpected === 'internal' ? 'This is a bug. The log of the server has the details.' : UNKNOWN)
  );
}

/** Errors of express and its body parser carry a status. */
function fromExpress(error: unknown): Problem | null {
  switch ((error as { status?: unknown } | null)?.status) {
    case 400:
      return new Problem(
        'malformed',
        error instanceof URIError ? 'The path has a malformed percent-encoding.' : 'The body cannot be read.',
      );
    case 413:
      // The connection is closed, because the rest of the body is not read.
      return new Problem('too-large', 'The body is larger than the limit.', { headers: { Connection: 'close' } });
    case 415:
      return new Problem('unsupported-media-type', 'The Content-Encoding is not supported.');
    default:
      return null;
  }
}

export function sendProblem(res: ServerResponse, problem: Problem): void {
  const body = problemBody(problem);
  res.writeHead(problem.status, { ...problemHeaders(problem), 'Content-Length': Buffer.byteLength(body) }).end(body);
}

export function problemHeaders({ kind, extras }: Problem): Record<string, string> {
  const retryAfter = kind === 'overloaded' || kind === 'unavailable' ? { 'Retry-After': RETRY_AFTER_SECONDS[kind] } : {};
  return { ...PROTECTIVE_HEADERS, ...retryAfter, ...extras.headers, 'Content-Type': 'application/problem+json; charset=utf-8' };
}

export function problemBody({ kind, status, message, extras }: Problem): string {
  const errors = extras.flaws === undefined ? {} : { errors: extras.flaws };
  return JSON.stringify({ type: `/problems/${kind}`, title: TITLES[kind][1], status, detail: message, ...errors });
}
