import { SettingError } from '../base/errors';
import type { Config } from './config';
import { ConfigError } from './load';

/**
 * Rejects settings that the EMQX of EMQX_URL does not support, because they would have no effect.
 * @throws ConfigError
 */
export function checkAvailable({ emqx, policies }: Config): void {
  if (emqx.version !== 4) return;
  const errors = policies.flatMap(({ retain }, i) =>
    retain === 'restore'
      ? [
          new SettingError(
            `POLICIES[${i}].retain`,
            '"restore" needs EMQX 5 or later; with EMQX 4 (EMQX_URL ends with /api/v4) use "store" or "off"',
          ),
        ]
      : [],
  );
  if (errors.length > 0) throw new ConfigError(errors);
}
