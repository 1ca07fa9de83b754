import { inspect } from 'node:util';
import { SettingError } from '../base/errors';

export interface Host {
  readonly host: string;
  /** null for the default port of the product. */
  readonly port: number | null;
}

interface UrlParts {
  readonly scheme: string;
  readonly hosts: readonly Host[];
  readonly user: string | null;
  readonly path: string;
  readonly params: Readonly<Record<string, string>>;
}

/**
 * The parsed value of STORE_URL, QUEUE_URL or an entry of HISTORY_URLS. The URL class of Node cannot parse lists of
 * hosts with ports (`redis+cluster://a:7000,b:7000`). Printing a ServiceUrl shows no secrets. `password` and `href()`
 * are for drivers.
 */
export class ServiceUrl implements UrlParts {
  readonly scheme: string;
  /** Empty for `embedded:` only. */
  readonly hosts: readonly Host[];
  readonly user: string | null;
  /** The decoded path without the leading slash: a database, keyspace or master name; '' if it is absent. */
  readonly path: string;
  readonly #text: string;
  readonly #password: string | null;
  readonly #params: Readonly<Record<string, string>>;

  constructor(text: string, parts: UrlParts, password: string | null) {
    this.scheme = parts.scheme;
    this.hosts = parts.hosts;
    this.user = parts.user;
    this.path = parts.path;
    this.#params = parts.params;
    this.#text = text;
    this.#password = password;
  }

  get password(): string | null {
    return this.#password;
  }

  /** The parameters of the query. They may contain secrets (`?token=`). */
  get params(): Readonly<Record<string, string>> {
    return this.#params;
  }

  /** The port of the first host. */
  get port(): number | null {
    return this.hosts[0]?.port ?? null;
  }

  /** The URL as the operator wrote it, with its secrets. Only for the parser of a driver. */
  href(): string {
    return this.#text;
  }

  toString(): string {
    return redactUrl(this.#text);
  }

  toJSON(): string {
    return this.toString();
  }

  [inspect.custom](): string {
    return this.toString();
  }
}

const SHAPE = /^(?<scheme>[a-z][a-z0-9+.-]*):(?:\/\/(?<authority>[^/?#]*)(?<path>\/[^?#]*)?(?:\?(?<query>[^#]*))?)?$/;

/**
 * Other names of schemes that providers and libraries use. The driver of MongoDB reads href(), so it still sees
 * `mongodb+srv`.
 */
const ALIASES: Readonly<Record<string, string>> = { postgresql: 'postgres', mariadb: 'mysql', 'mongodb+srv': 'mongodb' };

/** @throws RangeError whose message does not quote the URL, because it may contain a password. */
export function parseServiceUrl(text: string, schemes: readonly string[]): ServiceUrl {
  const written = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(text)?.[1];
  const scheme = written === undefined ? undefined : (ALIASES[written] ?? written);
  if (scheme === undefined || !schemes.includes(scheme)) {
    const what = written === undefined ? 'is not a URL' : `has the scheme "${written}"`;
    throw new RangeError(`${what}; allowed are ${schemes.map((s) => (s === 'embedded' ? 'embedded:' : `${s}://`)).join(', ')}`);
  }
  if (scheme === 'embedded') {
    if (text !== 'embedded:') throw new RangeError('embedded: takes nothing after the colon; DATA_DIR says where its files are');
    return new ServiceUrl(text, { scheme, hosts: [], user: null, path: '', params: {} }, null);
  }
  const groups = SHAPE.exec(text)?.groups;
  if (groups?.['authority'] === undefined) {
    throw new RangeError(`is not of the form ${scheme}://user:password@host:port/path?name=value (percent-encode / ? # @ in a password)`);
  }
  const at = groups['authority'].lastIndexOf('@');
  const [user, password] = parseUserinfo(at < 0 ? null : groups['authority'].slice(0, at));
  const hosts = groups['authority']
    .slice(at + 1)
    .split(',')
    .map(parseHost);
  const parts = { scheme, hosts, user, path: decode(groups['path']?.slice(1) ?? ''), params: parseParams(groups['query'] ?? '') };
  return new ServiceUrl(text, parts, password);
}

/** @throws SettingError for a parameter that the driver does not know, because the driver would ignore it. */
export function checkParams({ params }: ServiceUrl, setting: string, known: readonly string[]): void {
  const unknown = Object.keys(params).find((name) => !known.includes(name));
  if (unknown !== undefined) throw new SettingError(setting, `unknown parameter ${unknown}; known are ${known.join(', ')}`);
}

/** The host and port as in a URL, with an IPv6 address in brackets. */
export function authorityOf({ host, port }: Host): string {
  return `${host.includes(':') ? `[${host}]` : host}${port === null ? '' : `:${port}`}`;
}

function parseUserinfo(text: string | null): [user: string | null, password: string | null] {
  if (text === null) return [null, null];
  const colon = text.indexOf(':');
  if (colon < 0) return [decode(text), null];
  return [colon === 0 ? null : decode(text.slice(0, colon)), decode(text.slice(colon + 1))];
}

function parseHost(text: string): Host {
  const match = /^(?:\[(?<v6>[0-9A-Fa-f:.]+)\]|(?<name>[^:[\]@\s]+))(?::(?<port>\d+))?$/.exec(text);
  const host = match?.groups?.['v6'] ?? match?.groups?.['name'];
  if (host === undefined) throw new RangeError('has an empty or malformed host (write host or host:port, several with commas)');
  const port = match?.groups?.['port'] === undefined ? null : Number(match.groups['port']);
  if (port !== null && (port < 1 || port > 65535)) throw new RangeError('has a port outside 1 to 65535');
  return { host, port };
}

function parseParams(query: string): Record<string, string> {
  const params: [string, string][] = query
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair) => {
      const equals = pair.indexOf('=');
      return equals < 0 ? [decode(pair), ''] : [decode(pair.slice(0, equals)), decode(pair.slice(equals + 1))];
    });
  return Object.fromEntries(params);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new RangeError('has a malformed percent-encoding (write % itself as %25)');
  }
}

const SECRET_PARAM = /pass|secret|token|key|auth|sign|cred/i;

/** Hides the password, and parameters whose names sound like secrets. The text may be a malformed URL. */
export function redactUrl(text: string): string {
  // The password is hidden up to the last @, so that an unencoded / or ? in it does not show the rest.
  return text
    .replace(/^([A-Za-z][A-Za-z0-9+.-]*:\/\/)([^:@]*)(?::.*)?@/s, (_, start: string, user: string) => `${start}${user}:***@`)
    .replace(/([?&])([^=&]*)=([^&]*)/g, (pair, mark: string, name: string) => (isSecretParam(name) ? `${mark}${name}=***` : pair));
}

export function isSecretParam(name: string): boolean {
  try {
    return SECRET_PARAM.test(decodeURIComponent(name));
  } catch {
    return true;
  }
}
