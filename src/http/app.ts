import type { RequestListener } from 'node:http';
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express';
import { createGuards, type Guards } from '../door/auth';
import { Arrivals } from '../door/arrivals';
import { Door } from '../door/door';
import { failureAnswer } from '../door/failure';
import { Problem, PROTECTIVE_HEADERS } from '../door/problem';
import { RefusedTokens } from '../door/refused-tokens';
import type { Logger } from '../base/log';
import type { Metrics } from '../base/metrics';
import { methodNotAllowed, register, type Route } from './route';
import { clientRoutes } from './routes/clients';
import { consoleRoutes } from './routes/console';
import { deadLetterRoutes } from './routes/dead-letters';
import { deliveryRoutes } from './routes/deliveries';
import { docsRoutes } from './routes/docs';
import { messageRoutes } from './routes/messages';
import { operationRoutes } from './routes/operation';
import { setupRoutes } from './routes/setup';
import { topicRoutes } from './routes/topics';
import { retainedRoutes } from './routes/retained';
import { noteAccess } from './access';
import type { AppOptions } from './options';
import type { HttpServices } from './services';

/**
 * Creates the handler of all HTTP requests: the door for events, and express for everything else. The caller listens,
 * sets timeouts and shuts down.
 */
export function createApp(services: HttpServices, options: AppOptions): RequestListener {
  const guards = createGuards(options);
  const { bodyLimit, log, refusedTokens = new RefusedTokens(log) } = options;
  const { arrivals = new Arrivals() } = options;
  const door = new Door({ ...services, guard: guards.ingest, refusedTokens, arrivals, bodyLimit, log });
  const api = createApi(services, options, guards);
  return (req, res) => {
    if (door.takes(req)) void door.handle(req, res);
    else api(req, res);
  };
}

/** Creates the express app, which answers every path except those of events. */
export function createApi(services: HttpServices, options: AppOptions, guards: Guards): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  // query.ts reads the queries, because it is stricter than express.
  app.set('query parser', false);
  app.enable('case sensitive routing');

  app.use(observe(services.metrics));
  app.use(headers);
  app.use('/v1', authenticate(guards));
  register(app, routes(services, options));
  app.use('/v1/events', (req) => {
    throw methodNotAllowed(req.method, 'POST');
  });
  app.use((req) => {
    throw new Problem('not-found', `The server has no path ${req.path.slice(0, 200)}.`);
  });
  app.use(onError(options.log));
  return app;
}

/**
 * Checks the tokens of all paths below /v1. A path needs the admin token unless it is clearly a path for events. So an
 * unexpected spelling of a path cannot avoid the check.
 */
function authenticate({ ingest, admin }: Guards): RequestHandler {
  return (req, res, next) => {
    const authorization = req.get('Authorization');
    if (/^\/events(\/|$)/.test(req.path)) ingest(authorization);
    else noteAccess(res, admin(authorization, req.method, `/v1${req.path}`));
    next();
  };
}

function routes(services: HttpServices, options: AppOptions): Route[] {
  return [
    ...topicRoutes(services, options),
    ...messageRoutes(services, options),
    ...clientRoutes(services, options),
    ...deliveryRoutes(services, options),
    ...retainedRoutes(services, options),
    ...deadLetterRoutes(services, options),
    ...operationRoutes(services, options),
    ...setupRoutes(services),
    ...docsRoutes(),
    ...consoleRoutes(),
  ];
}

function onError(log: Logger): ErrorRequestHandler {
  const fail = failureAnswer('internal', log);
  return (error: unknown, req, res, _next) => fail(error, req, res);
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
  res.set(PROTECTIVE_HEADERS);
  next();
};
