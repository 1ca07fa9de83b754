import { SettingError } from '../base/errors';
import type { Config } from './config';
import { ConfigError } from './load';

/** Refuses settings of the contract that this release can't keep yet: nothing is ignored in silence. @throws ConfigError */
export function checkAvailable({ emqx }: Config): void {
  if (emqx.version !== 5) throw new ConfigError([new SettingError('EMQX_URL', 'this release works with EMQX 5 and 6 (/api/v5) only')]);
}
