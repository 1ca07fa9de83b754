import { RetryableError } from '../../base/errors';
import { explain } from '../../redis/explain';

/**
 * Redis accepts any bytes. So each error concerns its own state, which changes with time or with an operator's help.
 */
export function mapError(error: unknown, trouble: Error | null): Error {
  return error instanceof RetryableError ? error : new RetryableError(explain(error, trouble), { cause: error });
}
