import type { ServiceUrl } from '../../config/url';
import { ClosedError, RefusedError, RetryableError, SettingError } from '../../base/errors';
import type { Message } from '../../mqtt/message';
import type { MigrationPlan } from '../../base/migration';
import { split } from '../../base/split';
import { healthWithin, type Health } from '../../base/health';
import type { Refusal } from '../../stores/store';
import { appendPoints, renderMessage } from '../append';
import type { HistorySink } from '../history';
import { clip, silentText } from '../shared/explain';
import { HttpServer, type HttpAnswer } from '../shared/http';
import { checkParams, SETTING, sinkName } from '../shared/settings';
import { readTemplates, type Templates } from '../template';
import { DEFAULT, openTsdbPoints, parseOpenTsdb, type DataPoint, type OpenTsdbTemplate } from './template';

const PORT = 4242;

/** With `details` OpenTSDB tells what was wrong with which point. */
const PUT = '/api/put?details';

/**
 * OpenTSDB recommends 50 points per request, and by default accepts bodies of up to 4,096 bytes
 * (tsd.http.request.max_chunk).
 */
const MAX_POINTS = 50;
const MAX_BYTES = 4_000;

/** OpenTSDB reports trouble of its own storage in the same way as wrong points. */
const TRANSIENT = /throttle|storage exception|timeout|timed out|hbase|not ready/i;

/** OpenTSDB 2.x, and databases with the same /api/put. */
export class OpenTsdbSink implements HistorySink {
  readonly name: string;
  private readonly server: HttpServer;
  private readonly templates: Templates<OpenTsdbTemplate>;
  private closed = false;

  constructor(url: ServiceUrl) {
    checkParams(url, ['tls', 'ca', 'templates']);
    if (url.path !== '') throw new SettingError(SETTING, 'opentsdb:// has no databases: remove what follows the host');
    const { templates } = url.params;
    this.name = sinkName(url);
    this.templates = templates === undefined ? DEFAULT : readTemplates(templates, parseOpenTsdb);
    this.server = new HttpServer(url, 'OpenTSDB', PORT);
  }

  /** OpenTSDB creates metrics by itself (tsd.core.auto_create_metrics). */
  async migrate(): Promise<void> {
    this.checkOpen();
    await Promise.resolve();
  }

  async migrationPlan(): Promise<MigrationPlan> {
    return { pending: [], takeover: [] };
  }

  async append(messages: readonly Message[]): Promise<Refusal[]> {
    this.checkOpen();
    return appendPoints(messages, {
      render: (message) => renderMessage(message, this.templates, jsonOf, Buffer.byteLength),
      write: async (points) => {
        for (const request of requestsOf(points)) await this.put(request);
      },
    });
  }

  health(): Promise<Health> {
    const check = async (): Promise<string> => {
      const answer = await this.server.exchange({ method: 'POST', path: PUT, contentType: 'application/json', body: '[]' });
      // OpenTSDB answers 400 to an empty list of points; others answer 204.
      const works = answer.status < 300 || (answer.status === 400 && /datapoints/i.test(answer.body));
      if (!works) throw this.server.trouble(answer, answer.body);
      return `OpenTSDB ${await this.version()}`;
    };
    return healthWithin(SETTING, check, () => silentText(this.server.shown));
  }

  async close(): Promise<void> {
    this.closed = true;
    this.server.close();
    await Promise.resolve();
  }

  private async put(body: string): Promise<void> {
    const answer = await this.server.exchange({ method: 'POST', path: PUT, contentType: 'application/json', body });
    if (answer.status === 200 || answer.status === 204) return;
    const said = errorOf(answer);
    if (answer.status !== 400 && answer.status !== 413) throw this.server.trouble(answer, said);
    // Text in quotes comes from the messages, so it is ignored.
    if (TRANSIENT.test(said.replace(/"[^"]*"/g, ''))) throw new RetryableError(`${this.server.shown} is in trouble (${clip(said)})`);
    throw new RefusedError(`OpenTSDB: ${clip(said)}`);
  }

  private async version(): Promise<string> {
    const { status, body } = await this.server.exchange({ method: 'GET', path: '/api/version' });
    return (status === 200 ? /"version"\s*:\s*"([^"]+)"/.exec(body)?.[1] : undefined) ?? 'of unknown version';
  }

  private checkOpen(): void {
    if (this.closed) throw new ClosedError('the history is closed');
  }
}

function* jsonOf(...args: Parameters<typeof openTsdbPoints>): Generator<string> {
  for (const point of openTsdbPoints(...args)) yield JSON.stringify(point satisfies DataPoint);
}

/** Request bodies of limited length. A point that is longer gets a body of its own. */
export function requestsOf(points: readonly string[]): string[] {
  const requests = split(points, MAX_POINTS, MAX_BYTES, (point) => Buffer.byteLength(point) + 1);
  return requests.map((own) => `[${own.join(',')}]`);
}

/** The reasons of {"errors": [{"datapoint": ..., "error": reason}]} or {"error": {"message": reason}}. */
function errorOf({ body }: HttpAnswer): string {
  try {
    const { errors, error } = JSON.parse(body) as { errors?: { error?: string }[]; error?: { message?: string } };
    const reasons = errors?.map((each) => each.error) ?? [error?.message];
    return [...new Set(reasons)].filter((reason) => reason !== undefined).join('; ') || body;
  } catch {
    return body;
  }
}
