import { MongoClient, type MongoClientOptions } from 'mongodb';
import { tlsOf } from '../../config/tls';
import type { ServiceUrl } from '../../config/url';
import { errorText, SettingError } from '../../base/errors';

const SETTING = 'STORE_URL';

/**
 * Defaults for options that the URL does not set. Writes wait for the disks of a majority, so that a stored message
 * survives a failover.
 */
const DEFAULTS: MongoClientOptions = {
  appName: 'emqx-offline-store',
  serverSelectionTimeoutMS: 5_000,
  connectTimeoutMS: 5_000,
  socketTimeoutMS: 15_000,
  waitQueueTimeoutMS: 10_000,
  maxPoolSize: 10,
  w: 'majority',
  journal: true,
  // Less than socketTimeoutMS, so that a slow majority is reported as such and not taken for a dead connection.
  wtimeoutMS: 10_000,
  readConcernLevel: 'majority',
};

/** Options of which only some values keep the promises. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  readpreference: ['primary'],
  readconcernlevel: ['local', 'majority', 'linearizable'],
};

export interface MongoSettings {
  readonly href: string;
  readonly options: MongoClientOptions;
}

/**
 * The driver's own parser checks the parameters. `ca=FILE`, which all URLs of the server accept, becomes its
 * `tlsCAFile`.
 * @throws SettingError
 */
export function settingsOf(url: ServiceUrl): MongoSettings {
  if (url.path === '')
    throw new SettingError(SETTING, 'names no database; write it after the host: mongodb://user:password@host:port/database');
  const given = new Map(Object.entries(url.params).map(([name, value]) => [name.toLowerCase(), value]));
  for (const [name, allowed] of Object.entries(ALLOWED)) {
    const value = given.get(name);
    if (value !== undefined && !allowed.includes(value)) throw new SettingError(SETTING, `${name} must be ${allowed.join(' or ')}`);
  }
  if (given.get('w') === '0') throw new SettingError(SETTING, 'w=0 would lose messages; leave it out (majority) or write w=1 or more');
  const tls = tlsOf(url, SETTING);
  const options: MongoClientOptions = {
    ...Object.fromEntries(Object.entries(DEFAULTS).filter(([name]) => !given.has(name.toLowerCase()))),
    ...(tls?.ca !== undefined && { tls: true, tlsCAFile: url.params['ca'] ?? '' }),
    ...{ ignoreUndefined: true, promoteBuffers: true, readPreference: 'primary' },
  };
  const settings = { href: withoutCa(url.href()), options };
  check(settings, url);
  return settings;
}

function withoutCa(href: string): string {
  const [base = '', query = ''] = href.split('?');
  const pairs = query.split('&').filter((pair) => pair !== '' && decodeURIComponent(pair.split('=')[0] ?? '') !== 'ca');
  return pairs.length === 0 ? base : `${base}?${pairs.join('&')}`;
}

/** Makes a client and a database like the store will, without connecting. */
function check({ href, options }: MongoSettings, { path }: ServiceUrl): void {
  try {
    new MongoClient(href, options).db(path);
  } catch (error) {
    throw new SettingError(
      SETTING,
      `${withoutSecrets(errorText(error), href)}; known are the options of MongoDB's connection strings, and ca=FILE`,
    );
  }
}

/** The driver's error texts may contain values of options. Passwords must not be shown. */
function withoutSecrets(text: string, href: string): string {
  const values = [/\/\/[^:@/]*:([^@]*)@/.exec(href)?.[1], ...[...href.matchAll(/=([^&]{4,})/g)].map((match) => match[1])];
  return values.reduce<string>(
    (cleaned, value) => (value ? cleaned.replaceAll(value, '***').replaceAll(decodeURIComponent(value), '***') : cleaned),
    text,
  );
}
