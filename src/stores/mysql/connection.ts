import type { ConnectionOptions } from 'mysql2';
import { tlsOf } from '../../config/tls';
import { checkParams, type ServiceUrl } from '../../config/url';
import { SettingError } from '../../base/errors';

const PARAMS = ['tls', 'ca'];

/** `mysql://user:password@host:3306/database?tls=true&ca=FILE`. @throws SettingError */
export function connectionOf(url: ServiceUrl, setting: string): ConnectionOptions {
  checkParams(url, setting, PARAMS);
  const [first, second] = url.hosts;
  if (first === undefined || second !== undefined) throw new SettingError(setting, 'mysql:// takes one host');
  if (url.path === '') throw new SettingError(setting, 'names no database; write mysql://host/database');
  const tls = tlsOf(url, setting);
  return {
    host: first.host,
    port: first.port ?? 3306,
    database: url.path,
    ...(url.user !== null && { user: url.user }),
    ...(url.password !== null && { password: url.password }),
    ...(tls !== null && { ssl: { ...tls, rejectUnauthorized: true, verifyIdentity: true } as NonNullable<ConnectionOptions['ssl']> }),
  };
}
