import { readFileSync } from 'node:fs';
import { SettingError } from '../base/errors';
import type { Config, EmqxSettings } from './config';
import { parseDuration } from './duration';
import { parseSettingsFile } from './file';
import { certificateFile, listenerTls } from './listener-tls';
import type { Policy } from './policies';
import { checkSettings, ENVIRONMENT_KEYS, type RawPolicy, type RawSettings } from './schema';
import { fileKeyOf, keyOfFile, withSecretFiles } from './secret-files';
import { parseStatement, settingOf, STATEMENT_NAMES, type Statements } from './statements';
import { parseServiceUrl, type ServiceUrl } from './url';

const QUEUE_SCHEMES = ['embedded', 'redis', 'rediss', 'redis+cluster', 'redis+sentinel', 'postgres'];
const HISTORY_SCHEMES = ['influxdb', 'opentsdb', 'timescale', 'clickhouse'];
const STORE_SCHEMES = [
  ...['embedded', 'postgres', 'timescale', 'mysql', 'redis', 'rediss', 'redis+cluster', 'redis+sentinel'],
  ...['mongodb', 'cassandra', 'clickhouse', 'dynamodb'],
];

const SQL_SCHEMES = ['postgres', 'timescale', 'mysql'];

/** All errors in the settings. The process ends with exit code 78. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  constructor(readonly errors: readonly SettingError[]) {
    super(errors.map(({ message }) => message).join('\n'));
  }
}

/** Reads the environment, and CONFIG_FILE for what the environment does not set. @throws ConfigError */
export function loadConfig(env: NodeJS.ProcessEnv, readFile: (path: string) => string = (path) => readFileSync(path, 'utf8')): Config {
  const errors: SettingError[] = [];
  const collect = <T>(key: string, work: () => T): T | undefined => {
    try {
      return work();
    } catch (error) {
      if (error instanceof SettingError) errors.push(error);
      else if (error instanceof RangeError) errors.push(new SettingError(key, error.message));
      else throw error;
      return undefined;
    }
  };

  const path = env['CONFIG_FILE'] ?? '';
  const fromFile = path === '' ? {} : (collect('CONFIG_FILE', () => parseSettingsFile(path, readFile)) ?? {});
  const settings = withSecretFiles(merged(fromFile, fromEnvironment(env, collect)), readFile, collect);
  if (typeof settings['HISTORY_URLS'] === 'string') settings['HISTORY_URLS'] = splitUrls(settings['HISTORY_URLS']);

  errors.push(...checkSettings(settings));
  // Each key is checked even if another one is wrong, so that the operator sees all errors at once.
  const url = (key: string, value: unknown, schemes: readonly string[]): ServiceUrl | undefined =>
    typeof value === 'string' && value !== '' ? collect(key, () => parseServiceUrl(value, schemes)) : undefined;
  const store = url('STORE_URL', settings['STORE_URL'], STORE_SCHEMES);
  const queue = url('QUEUE_URL', settings['QUEUE_URL'], QUEUE_SCHEMES);
  const listed: unknown[] = Array.isArray(settings['HISTORY_URLS']) ? settings['HISTORY_URLS'] : [];
  const history = listed.flatMap((value, i) => url(`HISTORY_URLS[${i}]`, value, HISTORY_SCHEMES) ?? []);
  const storeSql = statements(settings, store, collect);
  const emqx = collect('EMQX_URL', () => emqxSettings(settings));
  const emqxCa = collect('EMQX_CA_FILE', () => emqxAuthority(settings, readFile)) ?? null;
  collect('EMQX_API_KEY', () => requirePair(settings));
  for (const key of ['INGEST_TOKEN', 'ADMIN_TOKEN']) collect(key, () => requireToken(key, settings));
  collect('INGEST_TOKEN_PREVIOUS', () => requireNewToken(settings));
  collect('READ_TOKEN', () => requireOtherTokens(settings));
  const tls = collect('TLS_CERT_FILE', () => listenerTls(settings, readFile)) ?? null;

  if (errors.length > 0 || store === undefined || queue === undefined || emqx === undefined) throw new ConfigError(errors);
  const raw = settings as unknown as RawSettings;
  return {
    host: raw.HOST,
    port: raw.PORT,
    tls,
    dataDir: raw.DATA_DIR,
    store,
    storeSql,
    history,
    queue,
    emqx: { ...emqx, ca: emqxCa },
    ingestToken: raw.INGEST_TOKEN ?? null,
    previousIngestToken: raw.INGEST_TOKEN_PREVIOUS ?? null,
    adminToken: raw.ADMIN_TOKEN ?? null,
    readToken: raw.READ_TOKEN ?? null,
    signingKey: raw.SIGNING_KEY ?? null,
    policies: raw.POLICIES.map(toPolicy),
    log: { level: raw.LOG_LEVEL, format: raw.LOG_FORMAT },
  };
}

/** Reads the URL of a store from an option of a command. @throws SettingError */
export function parseStoreUrl(option: string, text: string): ServiceUrl {
  try {
    return parseServiceUrl(text, STORE_SCHEMES);
  } catch (error) {
    throw error instanceof RangeError ? new SettingError(option, error.message) : error;
  }
}

type Collect = <T>(key: string, work: () => T) => T | undefined;

/** Merges both sources. The environment wins, even if it sets KEY_FILE and the file sets KEY. */
function merged(file: Record<string, unknown>, environment: Record<string, unknown>): Record<string, unknown> {
  const isReplaced = (name: string) => fileKeyOf(name) in environment || (keyOfFile(name) ?? name) in environment;
  return { ...Object.fromEntries(Object.entries(file).filter(([name]) => !isReplaced(name))), ...environment };
}

/**
 * Reads the settings of the environment, which are texts. An empty text counts as not set, because docker compose
 * passes `KEY=` for a variable that is not set.
 */
function fromEnvironment(env: NodeJS.ProcessEnv, collect: Collect): Record<string, unknown> {
  const settings: Record<string, unknown> = {};
  for (const key of ENVIRONMENT_KEYS) {
    const text = env[key] ?? '';
    if (text === '') continue;
    if (key === 'PORT') settings[key] = /^\d+$/.test(text) ? Number(text) : text;
    else if (key === 'POLICIES') {
      const policies = collect(key, () => parseJson(key, text));
      if (policies !== undefined) settings[key] = policies;
    } else settings[key] = text;
  }
  return settings;
}

/**
 * Reads STORE_SQL_*. Other stores than those of SQL_SCHEMES would ignore the statements, so the settings are rejected
 * for them.
 */
function statements(settings: Record<string, unknown>, store: ServiceUrl | undefined, collect: Collect): Statements {
  const found: { -readonly [K in keyof Statements]: Statements[K] } = {};
  for (const name of STATEMENT_NAMES) {
    const [key, text] = [settingOf(name), settings[settingOf(name)]];
    if (typeof text !== 'string') continue;
    collect(key, () => {
      if (store !== undefined && !SQL_SCHEMES.includes(store.scheme)) {
        throw new SettingError(key, `is for STORE_URL with ${SQL_SCHEMES.map((scheme) => `${scheme}://`).join(', ')} only`);
      }
      found[name] = parseStatement(name, text);
    });
  }
  return found;
}

function parseJson(key: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new SettingError(key, 'is not JSON; in the environment it is a JSON list such as [{"filter":"#","ttl":"7d"}]');
  }
}

/** Splits at commas that are followed by a scheme, because a comma may also separate the hosts of one URL. */
function splitUrls(text: string): string[] {
  return text
    .split(/,(?=\s*[A-Za-z][A-Za-z0-9+.-]*:\/\/)/)
    .map((url) => url.trim())
    .filter((url) => url !== '');
}

function emqxSettings(settings: Record<string, unknown>): Omit<EmqxSettings, 'ca'> | undefined {
  const { EMQX_URL: text, EMQX_API_KEY: apiKey, EMQX_API_SECRET: apiSecret } = settings;
  if (typeof text !== 'string') return undefined;
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !['http:', 'https:'].includes(url.protocol)) throw new SettingError('EMQX_URL', 'must be an http:// or https:// URL');
  if (url.username !== '' || url.password !== '') {
    throw new SettingError('EMQX_URL', 'must not contain credentials: set EMQX_API_KEY and EMQX_API_SECRET');
  }
  const version = /\/api\/v([45])\/*$/.exec(url.pathname)?.[1];
  if (version === undefined || url.search !== '' || url.hash !== '') {
    throw new SettingError(
      'EMQX_URL',
      'must end with /api/v5 (EMQX 5 and 6), such as http://127.0.0.1:18083/api/v5, or with /api/v4 (EMQX 4.4), such as http://127.0.0.1:8081/api/v4',
    );
  }
  const credentials = typeof apiKey === 'string' && typeof apiSecret === 'string' ? { apiKey, apiSecret } : null;
  return { url: url.href.replace(/\/+$/, ''), version: version === '4' ? 4 : 5, credentials };
}

function emqxAuthority({ EMQX_CA_FILE: file, EMQX_URL: url }: Record<string, unknown>, readFile: (path: string) => string): string | null {
  if (typeof file !== 'string') return null;
  if (typeof url === 'string' && !/^https:/i.test(url)) throw new SettingError('EMQX_CA_FILE', 'is for an https:// EMQX_URL only');
  return certificateFile('EMQX_CA_FILE', file, readFile);
}

function requirePair(settings: Record<string, unknown>): void {
  const [key, secret] = ['EMQX_API_KEY', 'EMQX_API_SECRET'];
  if ((settings[key] === undefined) === (settings[secret] === undefined)) return;
  const [missing, present] = settings[key] === undefined ? [key, secret] : [secret, key];
  throw new SettingError(missing, `is missing, while ${present} is set: EMQX needs both`);
}

/** Requires a token if other machines can reach the port. Without one they could store, read and remove messages. */
function requireToken(key: string, settings: Record<string, unknown>): void {
  const host = settings['HOST'];
  if (typeof host !== 'string' || isLoopback(host) || settings[key] !== undefined) return;
  throw new SettingError(key, `is required because HOST is ${host}, which other machines can reach`);
}

function requireNewToken(settings: Record<string, unknown>): void {
  if (settings['INGEST_TOKEN_PREVIOUS'] === undefined || settings['INGEST_TOKEN'] !== undefined) return;
  throw new SettingError('INGEST_TOKEN', 'is missing, while INGEST_TOKEN_PREVIOUS is set: without it anybody may post events');
}

/**
 * READ_TOKEN needs an ADMIN_TOKEN, and must differ from the other tokens. Otherwise it would not limit its holder to
 * reading.
 */
function requireOtherTokens(settings: Record<string, unknown>): void {
  const { READ_TOKEN: token } = settings;
  if (token === undefined) return;
  if (settings['ADMIN_TOKEN'] === undefined)
    throw new SettingError('ADMIN_TOKEN', 'is missing, while READ_TOKEN is set: without it anybody may read and change everything');
  const same = ['ADMIN_TOKEN', 'INGEST_TOKEN', 'INGEST_TOKEN_PREVIOUS'].find((key) => settings[key] === token);
  if (same !== undefined) throw new SettingError('READ_TOKEN', `must not be the same as ${same}`);
}

function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/i.test(host);
}

function toPolicy({ ttl, fetch, ...rest }: RawPolicy): Policy {
  const maxAgeMs = fetch.maxAge === null ? null : parseDuration(fetch.maxAge);
  return { ...rest, ttlMs: parseDuration(ttl), fetch: { limit: fetch.limit, maxAgeMs } };
}
