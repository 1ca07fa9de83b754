import type { ServiceUrl } from '../config/url';
import type { Environment } from '../embedded/environment';
import { SettingError } from '../base/errors';
import { connectionOf } from './postgres/connection';
import { operated } from './shared/operator';
import type { Statements } from '../config/statements';
import type { Store } from './store';

/**
 * Opens the store that STORE_URL names, with the statements of STORE_SQL_*. Only the driver that is needed is loaded.
 */
export async function openStore(url: ServiceUrl, environment: Environment | null, statements: Statements = {}): Promise<Store> {
  switch (url.scheme) {
    case 'embedded': {
      if (environment === null) throw new TypeError('the embedded database is not open');
      const { EmbeddedStore } = await import('./embedded/index.js');
      return new EmbeddedStore(environment);
    }
    case 'postgres':
    case 'timescale': {
      const { PostgresStore } = await import('./postgres/index.js');
      return operated(
        new PostgresStore(connectionOf(url, 'STORE_URL'), url.scheme === 'timescale' ? 'TimescaleDB' : 'PostgreSQL'),
        statements,
      );
    }
    case 'mysql': {
      const { MysqlStore } = await import('./mysql/index.js');
      return operated(new MysqlStore(url), statements);
    }
    case 'redis':
    case 'rediss':
    case 'redis+cluster':
    case 'redis+sentinel': {
      const { RedisStore } = await import('./redis/index.js');
      return new RedisStore(url);
    }
    case 'dynamodb': {
      const { DynamoStore } = await import('./dynamodb/index.js');
      return new DynamoStore(url);
    }
    case 'clickhouse': {
      const { ClickHouseStore } = await import('./clickhouse/index.js');
      return new ClickHouseStore(url);
    }
    case 'cassandra': {
      const { CassandraStore, cassandraSettings } = await import('./cassandra/index.js');
      return new CassandraStore(cassandraSettings(url));
    }
    case 'mongodb': {
      const { MongoStore } = await import('./mongodb/index.js');
      return new MongoStore(url);
    }
    default:
      throw new SettingError('STORE_URL', `no store for ${url.scheme}://`);
  }
}
