import { RefusedError } from '../../base/errors';
import type { Refusal } from '../store';

/**
 * Saves a batch at once. If the database rejects it because of its content, the batch is halved until the rejected
 * message is alone, so that the others are stored (promise 13). `save` must be atomic or idempotent.
 */
export async function saveOrBisect<M extends { readonly id: string }>(
  messages: readonly M[],
  save: (batch: readonly M[]) => Promise<void>,
): Promise<Refusal[]> {
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
