import { authorityOf, type Host, type ServiceUrl } from '../../config/url';
import { SettingError } from '../../base/errors';

/** The setting that errors name. */
export const SETTING = 'HISTORY_URLS';

/** @throws SettingError for a parameter that the sink does not know, so that none is silently ignored. */
export function checkParams(url: ServiceUrl, known: readonly string[]): void {
  const unknown = Object.keys(url.params).find((name) => !known.includes(name));
  if (unknown !== undefined)
    throw new SettingError(SETTING, `${url.scheme}:// has no parameter "${unknown}"; known are ${known.join(', ')}`);
}

/** @throws SettingError if there are several hosts. */
export function onlyHost({ scheme, hosts }: ServiceUrl): Host {
  const [host, another] = hosts;
  if (host === undefined || another !== undefined) throw new SettingError(SETTING, `${scheme}:// takes one host`);
  return host;
}

/** The name that logs and metrics may show. */
export function sinkName(url: ServiceUrl): string {
  return `${url.scheme}://${authorityOf(onlyHost(url))}${url.path === '' ? '' : `/${url.path}`}`;
}

/** @throws SettingError if the URL lacks the name of the database. */
export function databaseOf({ scheme, path }: ServiceUrl): string {
  if (path === '') throw new SettingError(SETTING, `${scheme}:// needs the name of a database: ${scheme}://host:port/database`);
  return path;
}
