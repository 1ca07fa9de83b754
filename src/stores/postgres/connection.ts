import type { ClientConfig } from 'pg';
import { readPem, tlsOf } from '../../config/tls';
import { checkParams, type ServiceUrl } from '../../config/url';
import { SettingError } from '../../base/errors';

/**
 * libpq's parameters, which providers print in their connection strings, and the TLS parameters that all databases
 * share.
 */
const PARAMS = [
  ...['tls', 'ca', 'sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'application_name', 'options', 'client_encoding'],
  ...['channel_binding', 'connect_timeout', 'target_session_attrs'],
];

/**
 * All modes except `disable` encrypt and verify the certificate and its name. For some modes libpq does less; the
 * server does not, so that a password is never sent to an unverified host.
 */
const SSL_MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'];
const CHANNEL_BINDINGS = ['disable', 'prefer', 'require'];
/** The server writes, so a standby is of no use to it. */
const SESSIONS = ['any', 'read-write', 'primary'];

/**
 * `postgres://user:password@host:5432/database?tls=true&ca=FILE`; `timescale://` likewise. The driver does not get the
 * URL itself, because its parser prints warnings about sslmode and lets the URL override all other options.
 * @throws SettingError
 */
export function connectionOf(url: ServiceUrl, setting: string): ClientConfig {
  checkParams(url, setting, PARAMS);
  const { hosts, params, user, password, path } = url;
  const [first, second] = hosts;
  if (first === undefined || second !== undefined) throw new SettingError(setting, `${url.scheme}:// takes one host`);
  one(params, 'target_session_attrs', SESSIONS, setting);
  const ssl = sslOf(url, setting);
  const { application_name, options, client_encoding } = params;
  return {
    host: first.host,
    port: first.port ?? 5432,
    ...(user !== null && { user }),
    ...(password !== null && { password }),
    ...(path !== '' && { database: path }),
    ...(ssl !== null && { ssl }),
    ...(channelBinding(params, setting, ssl) && { enableChannelBinding: true }),
    ...timeoutOf(params, setting),
    ...(application_name !== undefined && { application_name }),
    ...(options !== undefined && { options }),
    ...(client_encoding !== undefined && { client_encoding }),
  };
}

type Params = ServiceUrl['params'];

function one(params: Params, name: string, known: readonly string[], setting: string): string | undefined {
  const value = params[name];
  if (value !== undefined && !known.includes(value))
    throw new SettingError(setting, `${name}=${value} is not supported; use one of ${known.join(', ')}`);
  return value;
}

/** null if the URL does not mention TLS. */
function sslOf(url: ServiceUrl, setting: string): ClientConfig['ssl'] | null {
  const { sslmode, tls, ca, sslrootcert, sslcert, sslkey } = url.params;
  if (sslmode === 'no-verify') {
    throw new SettingError(
      setting,
      'sslmode=no-verify is not supported: certificates are always verified; set ca= to the file of the certificate authority',
    );
  }
  one(url.params, 'sslmode', SSL_MODES, setting);
  if (tls !== undefined && sslmode !== undefined) throw new SettingError(setting, 'has tls= and sslmode= as well: one of them is enough');
  if (ca !== undefined && sslrootcert !== undefined)
    throw new SettingError(setting, 'has ca= and sslrootcert= as well: one of them is enough');
  const files = [ca, sslrootcert, sslcert, sslkey].some((file) => file !== undefined);
  if (sslmode === 'disable') {
    if (files) throw new SettingError(setting, 'sslmode=disable and the file of a certificate contradict each other');
    return false;
  }
  const shared = tlsOf(url, setting);
  if (shared === null && sslmode === undefined && !files) return null;
  const pem = (name: string, file: string | undefined) =>
    file === undefined ? {} : { [name]: readPem(file, name === 'ca' ? 'sslrootcert' : `ssl${name}`, setting) };
  return {
    ...shared,
    // `system` is libpq's name for the system's certificate authorities; Node.js uses its own.
    ...(sslrootcert !== 'system' && pem('ca', sslrootcert)),
    ...pem('cert', sslcert),
    ...pem('key', sslkey),
    rejectUnauthorized: true,
  };
}

/**
 * The driver uses channel binding if the server offers it. If it does not, the verified certificate protects against a
 * third party.
 */
function channelBinding(params: Params, setting: string, ssl: ClientConfig['ssl'] | null): boolean {
  if (one(params, 'channel_binding', CHANNEL_BINDINGS, setting) !== 'require') return false;
  if (ssl === null || ssl === false) throw new SettingError(setting, 'channel_binding=require needs TLS: add sslmode=require');
  return true;
}

function timeoutOf({ connect_timeout: text }: Params, setting: string): { connectionTimeoutMillis?: number } {
  if (text === undefined) return {};
  if (!/^\d{1,4}$/.test(text)) throw new SettingError(setting, 'connect_timeout= must be a whole number of seconds');
  // 0 means no limit in libpq; here the built-in limit stays.
  return Number(text) === 0 ? {} : { connectionTimeoutMillis: Number(text) * 1_000 };
}
