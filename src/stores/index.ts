import type { ServiceUrl } from '../config/url';
import type { PgliteEngine } from '../embedded/engine';
import { SettingError } from '../errors';
import { connectionOf } from './postgres/connection';
import type { Store } from './store';

/** Opens the store that STORE_URL names. Drivers are loaded when they are chosen. */
export async function openStore(url: ServiceUrl, engine: PgliteEngine | null): Promise<Store> {
  switch (url.scheme) {
    case 'embedded': {
      if (engine === null) throw new TypeError('the embedded database is not open');
      const { PostgresStore } = await import('./postgres/index.js');
      return new PostgresStore(engine.connectionConfig());
    }
    case 'postgres':
    case 'timescale': {
      const { PostgresStore } = await import('./postgres/index.js');
      return new PostgresStore(connectionOf(url, 'STORE_URL'), url.scheme === 'timescale' ? { product: 'TimescaleDB' } : {});
    }
    case 'mysql': {
      const { MysqlStore } = await import('./mysql/index.js');
      return new MysqlStore(url);
    }
    case 'redis':
    case 'rediss':
    case 'redis+cluster':
    case 'redis+sentinel': {
      const { RedisStore } = await import('./redis/index.js');
      return new RedisStore(url);
    }
    default:
      throw new SettingError('STORE_URL', `no store for ${url.scheme}://`);
  }
}
