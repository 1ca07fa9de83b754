import { RetryableError } from '../../base/errors';
import { explain } from '../../redis/explain';

/** Redis takes any bytes: what it refuses it refuses for its own state, and that passes or an operator helps. */
export function mapError(error: unknown, trouble: Error | null): Error {
  return error instanceof RetryableError ? error : new RetryableError(explain(error, trouble), { cause: error });
}
