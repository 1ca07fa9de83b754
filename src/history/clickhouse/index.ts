import { isUtf8 } from 'node:buffer';
import type { ServiceUrl } from '../../config/url';
import { RetryableError } from '../../base/errors';
import type { Message } from '../../mqtt/message';
import type { MigrationPlan } from '../../base/migration';
import { healthWithin, type Health } from '../../base/health';
import type { Refusal } from '../../stores/store';
import { appendPoints } from '../append';
import type { HistorySink } from '../history';
import { silentText } from '../shared/explain';
import { checkParams, SETTING, sinkName } from '../shared/settings';
import { Connection } from './connection';
import { Migrations } from './migrations';

const TABLE = 'mqtt_history';

/** ClickHouse, with one row per message in mqtt_history. */
export class ClickHouseSink implements HistorySink {
  readonly name: string;
  private readonly connection: Connection;
  private readonly migrations: Migrations;

  constructor(url: ServiceUrl) {
    checkParams(url, ['tls', 'ca']);
    this.name = sinkName(url);
    this.connection = new Connection(url);
    this.migrations = new Migrations(this.connection);
  }

  migrate(): Promise<void> {
    return this.migrations.run();
  }

  migrationPlan(): Promise<MigrationPlan> {
    return this.migrations.plan();
  }

  async append(messages: readonly Message[]): Promise<Refusal[]> {
    this.connection.checkOpen();
    return appendPoints(messages, {
      render: (message) => ({ points: [toRow(message)], bytes: message.payload.length + message.topic.length }),
      write: (rows) => this.connection.insert(TABLE, rows),
    });
  }

  health(): Promise<Health> {
    const check = async (): Promise<string> => {
      const [row] = await this.connection.rows<{ version: string }>('SELECT version() AS version');
      const problem = this.migrations.problem(await this.migrations.version());
      if (problem !== null) throw new RetryableError(problem);
      return `ClickHouse ${row?.version}, database ${this.connection.database}`;
    };
    return healthWithin(SETTING, check, () => silentText(this.connection.shown));
  }

  close(): Promise<void> {
    return this.connection.close();
  }
}

/** Rows are sent as JSON, so payloads that are not text go as base64. */
function toRow({ id, clientid, username, topic, qos, retain, payload, properties, publishReceivedAt }: Message) {
  const isText = isUtf8(payload);
  return {
    ...{ msgid: id, sender: clientid, username, topic, qos, retain: retain ? 1 : 0, arrived: publishReceivedAt },
    payload: isText ? payload.toString() : '',
    payload_base64: isText ? '' : payload.toString('base64'),
    properties: JSON.stringify(properties),
  };
}
