import type { Arrivals } from '../door/arrivals';
import type { Tokens } from '../door/auth';
import type { RefusedTokens } from '../door/refused-tokens';
import type { Logger } from '../base/log';

export interface AppOptions extends Tokens {
  /** The most bytes that the body of a request may have. */
  readonly bodyLimit: number;
  /** How long the id of a message removed through the API is remembered (promise 2). */
  readonly tombstoneMs: number;
  readonly log: Logger;
  /** Is told about events that were rejected because of their token. The default writes a warning to the log. */
  readonly refusedTokens?: Pick<RefusedTokens, 'note'>;
  /** Is told how many events were accepted. */
  readonly arrivals?: Pick<Arrivals, 'note'>;
  readonly now?: () => number;
}
