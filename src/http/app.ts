import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express';
import { ClosedError, RetryableError } from '../errors';
import { atMostEvery, type Logger } from '../ops/log';
import type { Metrics } from '../ops/metrics';
import { authenticate, type Tokens } from './auth';
import { Problem, sendProblem, toProblem } from './problem';
import { register, type Route } from './route';
import { clientRoutes } from './routes/clients';
import { deadLetterRoutes } from './routes/dead-letters';
import { deliveryRoutes } from './routes/deliveries';
import { docsRoutes } from './routes/docs';
import { eventRoutes } from './routes/events';
import { messageRoutes } from './routes/messages';
import { operationRoutes } from './routes/operation';
import { retainedRoutes } from './routes/retained';
import type { HttpServices } from './services';

export interface AppOptions extends Tokens {
  /** Bytes of a request's body. */
  readonly bodyLimit: number;
  /** How long the id of a message removed through the API is remembered (promise 2). */
  readonly tombstoneMs: number;
  readonly log: Logger;
  readonly now?: () => number;
}

/** The HTTP edge. Listening, timeouts and shutdown are the caller's. */
export function createApp(services: HttpServices, options: AppOptions): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  // Queries are read by query.ts, strictly.
  app.set('query parser', false);
  app.enable('case sensitive routing');

  app.use(observe(services.metrics));
  app.use(headers);
  app.use('/v1', authenticate(options));
  register(app, routes(services, options));
  app.use((req) => {
    throw new Problem('not-found', `There is no ${req.path.slice(0, 200)} here.`);
  });
  // A transient trouble must never be a 500 on the events' way: EMQX would lose the event (facts.md).
  app.use('/v1/events', answerErrors('unavailable', options.log, (kind) => services.metrics.eventsRejected.inc({ reason: kind })));
  app.use(answerErrors('internal', options.log, () => undefined));
  return app;
}

function routes(services: HttpServices, options: AppOptions): Route[] {
  return [
    ...eventRoutes(services, options),
    ...messageRoutes(services, options),
    ...clientRoutes(services, options),
    ...deliveryRoutes(services, options),
    ...retainedRoutes(services, options),
    ...deadLetterRoutes(services, options),
    ...operationRoutes(services, options),
    ...docsRoutes(),
  ];
}

function answerErrors(unexpected: 'internal' | 'unavailable', log: Logger, count: (kind: Problem['kind']) => void): ErrorRequestHandler {
  // While the queue is away every event fails, some thousand a second: the log needs to know once.
  const warn = atMostEvery(1000, (fields: object, unlogged: number) => log.warn({ ...fields, unlogged }, 'not now'));
  return (error: unknown, req, res, _next) => {
    const problem = toProblem(error, unexpected);
    count(problem.kind);
    // req.path lacks what this handler is mounted at.
    const path = req.originalUrl.replace(/\?.*$/s, '').slice(0, 200);
    const request = { method: req.method, path, status: problem.status };
    if (error instanceof RetryableError || error instanceof ClosedError) warn({ err: error, ...request });
    else if (problem.status >= 500) log.error({ err: error, ...request }, 'unexpected error');
    // Too late for another answer: the connection's end tells.
    if (res.headersSent) res.destroy();
    else sendProblem(res, problem);
  };
}

function observe(metrics: Metrics): RequestHandler {
  return (req, res, next) => {
    const stop = metrics.httpDuration.startTimer();
    res.once('close', () => {
      const route = req.route as { path: string } | undefined;
      stop({ method: req.method, route: route?.path ?? 'none', status: String(res.statusCode) });
    });
    next();
  };
}

const headers: RequestHandler = (_req, res, next) => {
  res.set({ 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' });
  next();
};
