import type { Request } from 'express';
import { InvalidEventError, metricLabel, readEvent, type NamedEvent } from '../../events';
import type { Flaw } from '../../events/contract';
import type { AppOptions } from '../app';
import { bodyReader, parseJson } from '../body';
import { toProblem, validationProblem } from '../problem';
import { Refusals } from '../refusals';
import { pathParameter, type Route } from '../route';
import type { HttpServices } from '../services';

const MAX_EVENTS = 10_000;
const MAX_FLAWS = 100;

export function eventRoutes({ ingest, deadLetters, metrics }: HttpServices, { bodyLimit, log }: AppOptions): Route[] {
  const readBody = bodyReader(bodyLimit);
  const refusals = new Refusals(deadLetters, log);
  const post = (path: string, parse: (body: unknown, req: Request) => NamedEvent[]): Route => ({
    method: 'post',
    path,
    async handle(req, res) {
      const body = await readBody(req, res);
      let events: NamedEvent[];
      try {
        events = parse(parseJson(body), req);
      } catch (error) {
        const problem = toProblem(error, 'unavailable');
        // Promise 13's other half: what is refused at the door is set aside too. Anything but a 400 will be sent again.
        if (problem.status === 400) await refusals.record(problem.message, body, `POST ${req.path.slice(0, 200)}`);
        throw error;
      }
      // Answered only when the queue has them durably (promise 1).
      if (events.length > 0) await ingest.accept(events.map(({ event }) => event));
      for (const { name } of events) metrics.eventsAccepted.inc({ event: metricLabel(name) });
      res.status(202).json({ accepted: events.length });
    },
  });
  return [
    post('/v1/events', (body) => (Array.isArray(body) ? many(body) : [readEvent(body)])),
    // A splat: the names of bridge events have slashes.
    post('/v1/events/*event', (body, req) => [readEvent(body, pathParameter(req, 'event'))]),
  ];
}

/** All or nothing: EMQX, or whoever sent the array, gets one answer for it. */
function many(bodies: readonly unknown[]): NamedEvent[] {
  if (bodies.length > MAX_EVENTS) throw validationProblem([{ path: '', message: `must not have more than ${MAX_EVENTS} entries` }]);
  const flaws: Flaw[] = [];
  const events: NamedEvent[] = [];
  for (const [index, body] of bodies.entries()) {
    try {
      events.push(readEvent(body));
    } catch (error) {
      if (!(error instanceof InvalidEventError)) throw error;
      flaws.push(...error.flaws.map(({ path, message }) => ({ path: `/${index}${path}`, message })));
      if (flaws.length >= MAX_FLAWS) break;
    }
  }
  if (flaws.length > 0) throw validationProblem(flaws.slice(0, MAX_FLAWS));
  return events;
}
