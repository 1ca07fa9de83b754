import type { ClientConfig } from 'pg';
import { tlsOf } from '../../config/tls';
import { checkParams, type ServiceUrl } from '../../config/url';
import { SettingError } from '../../base/errors';

/** libpq's names, as the client knows them, and ours for TLS, which all databases share. */
const PARAMS = ['tls', 'ca', 'sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'application_name', 'options', 'client_encoding'];

/** `postgres://user:password@host:5432/database?tls=true&ca=FILE`; `timescale://` likewise. @throws SettingError */
export function connectionOf(url: ServiceUrl, setting: string): ClientConfig {
  checkParams(url, setting, PARAMS);
  if (url.hosts.length !== 1) throw new SettingError(setting, `${url.scheme}:// takes one host`);
  const tls = tlsOf(url, setting);
  if (tls !== null && url.params['sslmode'] !== undefined) throw new SettingError(setting, 'has tls= or ca= and sslmode= as well: one of them is enough');
  const connectionString = url.href().replace(/^\w+:/, 'postgres:').replace(/([?&])(?:tls|ca)=[^&]*/g, '$1');
  return { connectionString, ...(tls !== null && { ssl: { ...tls, rejectUnauthorized: true } }) };
}
