import { authorityOf, type Host, type ServiceUrl } from '../../config/url';
import { SettingError } from '../../base/errors';

/** The setting that errors name. */
export const SETTING = 'HISTORY_URLS';

/** @throws SettingError for a parameter that none of the sink's is: nothing is ignored in silence. */
export function checkParams(url: ServiceUrl, known: readonly string[]): void {
  const unknown = Object.keys(url.params).find((name) => !known.includes(name));
  if (unknown !== undefined)
    throw new SettingError(SETTING, `${url.scheme}:// has no parameter "${unknown}"; known are ${known.join(', ')}`);
}

/** @throws SettingError for several hosts. */
export function onlyHost({ scheme, hosts }: ServiceUrl): Host {
  const [host, another] = hosts;
  if (host === undefined || another !== undefined) throw new SettingError(SETTING, `${scheme}:// takes one host`);
  return host;
}

/** As logs and metrics may show it. */
export function sinkName(url: ServiceUrl): string {
  return `${url.scheme}://${authorityOf(onlyHost(url))}${url.path === '' ? '' : `/${url.path}`}`;
}

/** @throws SettingError where the URL must say which database and does not. */
export function databaseOf({ scheme, path }: ServiceUrl): string {
  if (path === '') throw new SettingError(SETTING, `${scheme}:// needs the name of a database: ${scheme}://host:port/database`);
  return path;
}
