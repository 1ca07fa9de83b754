import type { ClientConfig } from 'pg';
import { tlsOf } from '../../config/tls';
import type { ServiceUrl } from '../../config/url';
import { databaseOf, onlyHost, SETTING } from '../shared/settings';

const PORT = 5432;

/** The connection to the database that the URL names. */
export function connectionOf(url: ServiceUrl): ClientConfig {
  const { host, port } = onlyHost(url);
  const tls = tlsOf(url, SETTING);
  return {
    host,
    port: port ?? PORT,
    database: databaseOf(url),
    ...(url.user === null ? {} : { user: url.user }),
    ...(url.password === null ? {} : { password: url.password }),
    // If `ssl` were not set, pg would use PGSSLMODE.
    ssl: tls ?? false,
  };
}
