import type { IncomingMessage, ServerResponse } from 'node:http';
import { dependencyOf, isExpected } from '../base/dependency';
import { OverloadedError, UnavailableError } from '../base/errors';
import { atMostEvery, type Logger } from '../base/log';
import { sendProblem, toProblem, type Problem } from './problem';

/** `/v1/events/message.publish` of a request's URL, for logs and dead letters. Express changes `url` where a handler is mounted. */
export function pathOf(req: IncomingMessage & { readonly originalUrl?: string }): string {
  return (req.originalUrl ?? req.url ?? '').replace(/\?.*$/s, '').slice(0, 200);
}

/** Traffic can make any number of requests fail: the log has one line for each kind in this time. */
const LOG_MS = 60_000;

/** What a request needs and has not. Nothing but the queue is unavailable before the work begins. */
function missing(error: unknown): string {
  return dependencyOf(error)?.name ?? (error instanceof UnavailableError ? 'queue' : 'server');
}

/**
 * Answers a request whose work failed, and logs what an operator should know.
 * `unexpected`: see toProblem. `count` hears of each.
 */
export function failureAnswer(
  unexpected: 'internal' | 'unavailable',
  log: Logger,
  count: (kind: Problem['kind']) => void = () => undefined,
) {
  // Example: the queue is unavailable, and EMQX sends 1,000 events in a second. All are refused, and the log has one line.
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
    // Too late for another answer: the connection's end tells.
    if (res.headersSent) res.destroy();
    else sendProblem(res, problem);
  };
}
