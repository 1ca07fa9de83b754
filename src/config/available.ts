import { SettingError } from '../errors';
import type { Config } from './config';
import { ConfigError } from './load';

/** Refuses settings of the contract that this release can't keep yet: nothing is ignored in silence. @throws ConfigError */
export function checkAvailable({ emqx, policies }: Config): void {
  const errors: SettingError[] = [];
  const refuse = (key: string, message: string) => errors.push(new SettingError(key, message));
  if (emqx.version !== 5) refuse('EMQX_URL', 'this release works with EMQX 5 and 6 (/api/v5) only');
  for (const { filter, mode } of policies) {
    if (mode === 'pubsub') refuse('POLICIES', `${filter}: mode pubsub is not available in this release; use queue`);
  }
  if (errors.length > 0) throw new ConfigError(errors);
}
