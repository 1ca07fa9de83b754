import { RetryableError } from '../../src/base/errors';
import type { QueueBackend } from '../../src/lanes/backend';
import { waitFor } from './wait';

/**
 * Prepares the queue as the server does: again, while its database is not connected in time. A busy machine takes
 * longer than a health check may.
 */
export async function prepared<B extends Pick<QueueBackend, 'prepare'>>(backend: B): Promise<B> {
  await waitFor('the queue', async () => {
    try {
      await backend.prepare();
      return true;
    } catch (error) {
      if (error instanceof RetryableError) return false;
      throw error;
    }
  });
  return backend;
}
