import type { ConnectionOptions } from 'mysql2';
import { readPem, tlsOf, type TlsOptions } from '../../config/tls';
import { checkParams, type ServiceUrl } from '../../config/url';
import { SettingError } from '../../base/errors';

/** MySQL's own parameters, which providers print in their connection strings, and those that all databases share. */
const PARAMS = ['tls', 'ca', 'ssl-mode', 'ssl-ca'];
const SSL_MODES = ['DISABLED', 'PREFERRED', 'REQUIRED', 'VERIFY_CA', 'VERIFY_IDENTITY'];

/**
 * `mysql://user:password@host:3306/database?tls=true&ca=FILE`
 * @throws SettingError
 */
export function connectionOf(url: ServiceUrl, setting: string): ConnectionOptions {
  checkParams(url, setting, PARAMS);
  const [first, second] = url.hosts;
  if (first === undefined || second !== undefined) throw new SettingError(setting, 'mysql:// takes one host');
  if (url.path === '') throw new SettingError(setting, 'names no database; write mysql://host/database');
  const tls = tlsSettings(url, setting);
  return {
    host: first.host,
    port: first.port ?? 3306,
    database: url.path,
    ...(url.user !== null && { user: url.user }),
    ...(url.password !== null && { password: url.password }),
    ...(tls !== null && { ssl: { ...tls, rejectUnauthorized: true, verifyIdentity: true } as NonNullable<ConnectionOptions['ssl']> }),
  };
}

/** Every `ssl-mode` except DISABLED encrypts and verifies the certificate and its name. null means no TLS. */
function tlsSettings(url: ServiceUrl, setting: string): TlsOptions | null {
  const { tls, ca, 'ssl-ca': file } = url.params;
  const mode = url.params['ssl-mode']?.toUpperCase();
  if (mode !== undefined && !SSL_MODES.includes(mode)) throw new SettingError(setting, `ssl-mode= must be one of ${SSL_MODES.join(', ')}`);
  if (mode !== undefined && tls !== undefined) throw new SettingError(setting, 'has tls= and ssl-mode= as well: one of them is enough');
  if (ca !== undefined && file !== undefined) throw new SettingError(setting, 'has ca= and ssl-ca= as well: one of them is enough');
  if (mode === 'DISABLED' && (ca ?? file) !== undefined)
    throw new SettingError(setting, 'ssl-mode=DISABLED and the file of a certificate contradict each other');
  if (file !== undefined) return { ca: readPem(file, 'ssl-ca', setting) };
  return tlsOf(url, setting) ?? (mode === undefined || mode === 'DISABLED' ? null : {});
}
