import type { IncomingMessage, ServerResponse } from 'node:http';
import { dependencyOf, isExpected } from '../base/dependency';
import { OverloadedError, UnavailableError } from '../base/errors';
import { atMostEvery, type Logger } from '../base/log';
import { sendProblem, toProblem, type Problem } from './problem';

/**
 * The path of a request without its query, for logs and dead letters. Example: `/v1/events/message.publish`. It is
 * taken from `originalUrl`, because express shortens `url` for a mounted handler.
 */
export function pathOf(req: IncomingMessage & { readonly originalUrl?: string }): string {
  return (req.originalUrl ?? req.url ?? '').replace(/\?.*$/s, '').slice(0, 200);
}

/** The log has at most one line of each kind in this time (ms), because any number of requests can fail. */
const LOG_MS = 60_000;

/**
 * The name of the service that the request lacks. Before the work on a request begins only the queue can be missing.
 */
function missing(error: unknown): string {
  return dependencyOf(error)?.name ?? (error instanceof UnavailableError ? 'queue' : 'server');
}

/**
 * Answers a request whose work failed, and logs what an operator should know.
 * @param unexpected the kind of problem for an error without a class of its own; see toProblem.
 * @param count is called with the kind of each problem.
 */
export function failureAnswer(
  unexpected: 'internal' | 'unavailable',
  log: Logger,
  count: (kind: Problem['kind']) => void = () => undefined,
) {
  // Example: the queue is unavailable, and EMQX sends 1,000 events in a second. All are refused, and the log has one
  // line.
  const overloaded = atMostEvery(LOG_MS, (fields) => log.warn(fields, 'request refused: too many events are waiting for the queue'));
  const bug = atMostEvery(LOG_MS, (fields) => log.error(fields, 'request failed unexpectedly'));
  const unavailable = atMostEvery(LOG_MS, ({ what, ...fields }: { what: string; err: unknown }) =>
    log.warn(fields, `request refused: ${what} unavailable`),
  );
  return (error: unknown, req: IncomingMessage, res: ServerResponse): void => {
    const problem = toProblem(error, unexpected);
    count(problem.kind);
    const request = { method: req.method, path: pathOf(req), status: problem.status };
    if (error instanceof OverloadedError) overloaded(request);
    else if (isExpected(error) && problem.status >= 500) unavailable({ what: missing(error), err: error, ...request }, missing(error));
    else if (problem.status >= 500) bug({ err: error, ...request });
    // If the answer has begun, only closing the connection tells the client that the answer is not complete.
    if (res.headersSent) res.destroy();
    else sendProblem(res, problem);
  };
}
