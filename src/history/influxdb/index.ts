import type { ServiceUrl } from '../../config/url';
import { ClosedError, RefusedError, RetryableError } from '../../base/errors';
import type { Message } from '../../mqtt/message';
import type { MigrationPlan } from '../../base/migration';
import { healthWithin, type Health } from '../../base/health';
import type { Refusal } from '../../stores/store';
import { appendPoints, renderMessage } from '../append';
import type { HistorySink } from '../history';
import { clip, silentText } from '../shared/explain';
import { HttpServer, type HttpAnswer } from '../shared/http';
import { checkParams, databaseOf, SETTING, sinkName } from '../shared/settings';
import { readTemplates, type Templates } from '../template';
import { lineOf } from './line';
import { DEFAULT, influxPoints, parseInflux, type InfluxTemplate } from './template';

const PORT = 8086;

/** A line without a point. Writing it checks the database, the login and the retention policy. */
const NO_POINT = '#';

/** InfluxDB 1.x, and databases with the same /write. */
export class InfluxDbSink implements HistorySink {
  readonly name: string;
  private readonly server: HttpServer;
  private readonly database: string;
  private readonly path: string;
  private readonly templates: Templates<InfluxTemplate>;
  private closed = false;

  constructor(url: ServiceUrl) {
    checkParams(url, ['tls', 'ca', 'templates', 'retentionPolicy']);
    const { templates, retentionPolicy } = url.params;
    this.name = sinkName(url);
    this.database = databaseOf(url);
    this.templates = templates === undefined ? DEFAULT : readTemplates(templates, parseInflux);
    this.server = new HttpServer(url, 'InfluxDB', PORT);
    const query = new URLSearchParams({
      db: this.database,
      precision: 'ns',
      ...(retentionPolicy === undefined ? {} : { rp: retentionPolicy }),
    });
    this.path = `/write?${query.toString()}`;
  }

  /** InfluxDB creates measurements by itself. The operator creates the database and its retention policies. */
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
      render: (message) => renderMessage(message, this.templates, linesOf, Buffer.byteLength),
      write: async (lines) => void (await this.write(lines.join('\n'))),
    });
  }

  health(): Promise<Health> {
    const check = async (): Promise<string> => {
      const { headers } = await this.write(NO_POINT);
      return `InfluxDB ${String(headers['x-influxdb-version'] ?? 'of unknown version')}, database ${this.database}`;
    };
    return healthWithin(SETTING, check, () => silentText(this.server.shown));
  }

  async close(): Promise<void> {
    this.closed = true;
    this.server.close();
    await Promise.resolve();
  }

  private async write(body: string): Promise<HttpAnswer> {
    const answer = await this.server.exchange({ method: 'POST', path: this.path, body });
    if (answer.status === 204 || answer.status === 200) return answer;
    throw this.problem(answer);
  }

  /**
   * A 400 concerns the content, even if the answer says "partial write" and other points are stored. A 413 means too
   * much at once, which halving the batch solves.
   */
  private problem(answer: HttpAnswer): Error {
    const said = errorOf(answer);
    if (answer.status === 400 || answer.status === 413) return new RefusedError(`InfluxDB: ${clip(said)}`);
    if (answer.status === 404 && said.includes('database not found'))
      return new RetryableError(`${this.server.shown}: ${clip(said)}: create the database first`);
    if (said.includes('retention policy not found'))
      return new RetryableError(`${this.server.shown}: ${clip(said)}: check retentionPolicy=`);
    return this.server.trouble(answer, said);
  }

  private checkOpen(): void {
    if (this.closed) throw new ClosedError('the history is closed');
  }
}

function* linesOf(...args: Parameters<typeof influxPoints>): Generator<string> {
  for (const point of influxPoints(...args)) yield lineOf(point);
}

function errorOf({ body }: HttpAnswer): string {
  try {
    const { error } = JSON.parse(body) as { error?: unknown };
    return typeof error === 'string' ? error : body;
  } catch {
    return body;
  }
}
