import { RefusedError } from '../../base/errors';
import type { Message } from '../../mqtt/message';
import type { Refusal } from '../store';

/**
 * Saves a batch at once; only when the database refuses it for its content, in halves, until what it refuses stands alone
 * (promise 13: its neighbours are stored). `save` must be all or nothing, or idempotent.
 */
export async function saveOrBisect(messages: readonly Message[], save: (batch: readonly Message[]) => Promise<void>): Promise<Refusal[]> {
  try {
    await save(messages);
    return [];
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error;
    const [only] = messages;
    if (messages.length === 1 && only !== undefined) return [{ id: only.id, reason: error.message }];
    const half = Math.ceil(messages.length / 2);
    const first = await saveOrBisect(messages.slice(0, half), save);
    return [...first, ...(await saveOrBisect(messages.slice(half), save))];
  }
}
