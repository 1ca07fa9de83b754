import type { Arrivals } from '../door/arrivals';
import type { Tokens } from '../door/auth';
import type { RefusedTokens } from '../door/refused-tokens';
import type { Logger } from '../base/log';

export interface AppOptions extends Tokens {
  /** Bytes of a request's body. */
  readonly bodyLimit: number;
  /** How long the id of a message removed through the API is remembered (promise 2). */
  readonly tombstoneMs: number;
  readonly log: Logger;
  /** Hears of events that are refused for their token. Default: one of its own, which warns in the log. */
  readonly refusedTokens?: Pick<RefusedTokens, 'note'>;
  /** Hears of events that are accepted. Default: one of its own. */
  readonly arrivals?: Pick<Arrivals, 'note'>;
  readonly now?: () => number;
}
