import type { IncomingMessage, ServerResponse } from 'node:http';
import { metricLabel, readEvent, readEvents, type NamedEvent } from '../events';
import type { OfflineEvent } from '../events/event';
import type { DeadLetters } from '../dead-letters/letters';
import type { Logger } from '../base/log';
import type { Metrics } from '../base/metrics';
import type { Arrivals } from './arrivals';
import type { Guard } from './auth';
import { BodyProblem, parseJson, readBody, refuseBrowsers } from './body';
import { failureAnswer, pathOf } from './failure';
import { Problem, PROTECTIVE_HEADERS, toProblem } from './problem';
import type { Ingest } from './ingest';
import type { RefusedTokens } from './refused-tokens';
import { Refusals } from './refusals';

export interface DoorDeps {
  readonly ingest: Pick<Ingest, 'accept'>;
  readonly deadLetters: Pick<DeadLetters, 'record'>;
  readonly metrics: Metrics;
  readonly guard: Guard;
  readonly refusedTokens: Pick<RefusedTokens, 'note'>;
  readonly arrivals: Pick<Arrivals, 'note'>;
  /** The most bytes that the body of a request may have. */
  readonly bodyLimit: number;
  readonly log: Logger;
}

const EVENTS = '/v1/events';
/** EMQX drops an event that gets one of these statuses. */
const FINAL = new Set([400, 413, 415]);
const ANSWER_HEADERS = { ...PROTECTIVE_HEADERS, 'Content-Type': 'application/json; charset=utf-8' };

/**
 * Answers `POST /v1/events` and `POST /v1/events/{event}`. These are by far most requests, so they do not pass through
 * express. An event is answered only after it was checked and put into the queue (promise 1).
 */
export class Door {
  private readonly refusals: Refusals;
  private readonly fail: ReturnType<typeof failureAnswer>;
  private readonly counters = new Map<string, { inc(): void }>();
  private readonly timers = new Map<string, { observe(seconds: number): void }>();

  constructor(private readonly deps: DoorDeps) {
    this.refusals = new Refusals(deps.deadLetters, deps.log);
    // An unexpected error must not be answered 500 here, because EMQX would lose the event.
    this.fail = failureAnswer('unavailable', deps.log, (kind) => deps.metrics.eventsRejected.inc({ reason: kind }));
  }

  takes({ method, url = '' }: IncomingMessage): boolean {
    if (method !== 'POST' || !url.startsWith(EVENTS)) return false;
    const next = url[EVENTS.length];
    return next === undefined || next === '/' || next === '?';
  }

  /** Never rejects. */
  async handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const begun = performance.now();
    let isOfOne = false;
    try {
      this.deps.guard(req.headers.authorization);
      isOfOne = pathOf(req).length > EVENTS.length + 1;
      refuseBrowsers(req);
      const events = await this.read(req);
      if (events.length > 0) await this.deps.ingest.accept(events.map(({ event }) => event));
      for (const { name: each } of events) this.count(metricLabel(each));
      if (this.deps.log.isLevelEnabled('debug'))
        for (const { name, event } of events) this.deps.log.debug({ event: name, ...fieldsOf(event) }, 'event accepted');
      this.deps.arrivals.note(events.length);
      accept(res, events.length);
    } catch (error) {
      if (error instanceof Problem && (error.status === 401 || error.status === 403)) this.deps.refusedTokens.note(req, error.status);
      this.fail(error, req, res);
    }
    this.timer(isOfOne ? `${EVENTS}/*event` : EVENTS, res.statusCode).observe((performance.now() - begun) / 1_000);
  }

  private async read(req: IncomingMessage): Promise<NamedEvent[]> {
    let body: Buffer | null = null;
    try {
      body = await readBody(req, this.deps.bodyLimit);
      const [name, json] = [nameOf(pathOf(req)), parseJson(body)];
      return Array.isArray(json) && name === undefined ? readEvents(json) : [readEvent(json, name)];
    } catch (error) {
      const problem = toProblem(error, 'unavailable');
      const arrived = problem instanceof BodyProblem ? problem.head : body;
      // A rejected event becomes a dead letter (promise 13). After any other status EMQX sends the event again.
      if (FINAL.has(problem.status) && arrived !== null) await this.refusals.record(problem.message, arrived, `POST ${pathOf(req)}`);
      throw error;
    }
  }

  /** Keeps the timers, because looking up a metric by its labels takes as long as reading an event. */
  private timer(route: string, status: number): { observe(seconds: number): void } {
    const key = `${status} ${route}`;
    let timer = this.timers.get(key);
    if (timer === undefined)
      this.timers.set(key, (timer = this.deps.metrics.httpDuration.labels({ method: 'POST', route, status: String(status) })));
    return timer;
  }

  private count(label: string): void {
    let counter = this.counters.get(label);
    if (counter === undefined) this.counters.set(label, (counter = this.deps.metrics.eventsAccepted.labels({ event: label })));
    counter.inc();
  }
}

/** The fields of a log line about the event. */
function fieldsOf(event: OfflineEvent): object {
  const { id, clientid, topic, filter } = (event.type === 'publish' ? event.message : event) as Partial<Record<string, unknown>>;
  return { event_id: id ?? undefined, clientid, topic: topic ?? filter };
}

/**
 * The name of the event in the path; undefined if the path has none. The name is decoded, because the names of bridge
 * events have slashes.
 */
function nameOf(path: string): string | undefined {
  const name = path.slice(EVENTS.length + 1);
  if (!name.includes('%')) return name === '' ? undefined : name;
  try {
    return decodeURIComponent(name);
  } catch {
    throw new Problem('malformed', 'The path has a malformed percent-encoding.');
  }
}

function accept(res: ServerResponse, count: number): void {
  const body = `{"accepted":${count}}`;
  res.writeHead(202, { ...ANSWER_HEADERS, 'Content-Length': body.length }).end(body);
}
