import type { ServiceUrl } from '../../config/url';
import { RetryableError } from '../../base/errors';
import type { Message } from '../../mqtt/message';
import { Database } from '../../stores/postgres/database';
import { Migrations } from '../../stores/postgres/migrations';
import type { MigrationPlan } from '../../base/migration';
import { healthWithin, type Health } from '../../base/health';
import type { Refusal } from '../../stores/store';
import type { HistorySink } from '../history';
import { explainConnection, isNotTrusted, silentText } from '../shared/explain';
import { checkParams, SETTING, sinkName } from '../shared/settings';
import { readTemplates } from '../template';
import { connectionOf } from './connection';
import { Statements } from './statements';
import { HistoryTable } from './table';
import { parseStatements } from './template';

const PRODUCT = 'TimescaleDB';
const MIGRATIONS = 'timescale-history';

/** TimescaleDB or PostgreSQL, with the table mqtt_history or the operator's own statements. */
export class TimescaleSink implements HistorySink {
  readonly name: string;
  private readonly db: Database;
  private readonly migrations: Migrations;
  private readonly table: HistoryTable;
  private readonly statements: Statements | null;

  constructor(url: ServiceUrl) {
    checkParams(url, ['tls', 'ca', 'templates']);
    const { templates } = url.params;
    const connection = connectionOf(url);
    this.name = sinkName(url);
    this.statements = templates === undefined ? null : new Statements(connection, readTemplates(templates, parseStatements), PRODUCT);
    this.db = new Database(connection, PRODUCT);
    this.migrations = new Migrations(this.db, MIGRATIONS, 'mqtt_history_migration');
    this.table = new HistoryTable(this.db);
  }

  async migrate(): Promise<void> {
    await this.migrations.run();
    await this.statements?.check();
  }

  migrationPlan(): Promise<MigrationPlan> {
    return this.migrations.plan();
  }

  async append(messages: readonly Message[]): Promise<Refusal[]> {
    return (this.statements ?? this.table).append(messages);
  }

  health(): Promise<Health> {
    const shown = `${PRODUCT} at ${this.name}`;
    const check = async (): Promise<string> => {
      try {
        return await this.check();
      } catch (error) {
        const cause = (error as Error).cause;
        throw isNotTrusted(cause) ? new RetryableError(explainConnection(cause, shown)) : error;
      }
    };
    return healthWithin(SETTING, check, () => silentText(shown));
  }

  async close(): Promise<void> {
    await Promise.all([this.db.close(), this.statements?.close()]);
  }

  private async check(): Promise<string> {
    const [row] = await this.db.rows<{ version: string; extension: string | null }>(
      `SELECT current_setting('server_version') AS version, (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb') AS extension`,
    );
    const problem = this.migrations.problem(await this.migrations.version());
    if (problem !== null) throw new RetryableError(problem);
    await this.statements?.check();
    const extension = row?.extension ?? null;
    return `PostgreSQL ${row?.version}, ${extension === null ? 'without TimescaleDB: a plain table' : `TimescaleDB ${extension}`}`;
  }
}
