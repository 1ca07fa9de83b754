import type { IncomingMessage, ServerResponse } from 'node:http';
import { ClosedError, RetryableError } from '../base/errors';
import { atMostEvery, type Logger } from '../base/log';
import { sendProblem, toProblem, type Problem } from './problem';

/** `/v1/events/message.publish` of a request's URL, for logs and dead letters. Express changes `url` where a handler is mounted. */
export function pathOf(req: IncomingMessage & { readonly originalUrl?: string }): string {
  return (req.originalUrl ?? req.url ?? '').replace(/\?.*$/s, '').slice(0, 200);
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
  // While the queue is away every event fails, some thousand a second: the log needs to know once.
  const warn = atMostEvery(1000, (fields: object, unlogged: number) =>
    log.warn({ ...fields, unlogged }, 'request refused: something that it needs is away'),
  );
  return (error: unknown, req: IncomingMessage, res: ServerResponse): void => {
    const problem = toProblem(error, unexpected);
    count(problem.kind);
    const request = { method: req.method, path: pathOf(req), status: problem.status };
    if (error instanceof RetryableError || error instanceof ClosedError) warn({ err: error, ...request });
    else if (problem.status >= 500) log.error({ err: error, ...request }, 'unexpected error');
    // Too late for another answer: the connection's end tells.
    if (res.headersSent) res.destroy();
    else sendProblem(res, problem);
  };
}
