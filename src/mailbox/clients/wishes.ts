import { createHash } from 'node:crypto';
import type { SharedState } from '../../lanes/state';
import type { SubscriptionRef } from '../../stores/store';
import type { Wish } from './wish';

/**
 * How long the last wish of a client is remembered (ms). Events of one client that are further apart than this don't
 * overtake each other.
 */
const MEMORY_MS = 10 * 60_000;

/** @returns the wishes in the order of the subscriptions, null where nothing is known. Takes one round trip. */
export async function recallWishes(state: Pick<SharedState, 'getAll'>, refs: readonly SubscriptionRef[]): Promise<(Wish | null)[]> {
  if (refs.length === 0) return [];
  const keys = refs.map(keyOf);
  const known = await state.getAll([...new Set(keys)]);
  return keys.map((key) => {
    const value = known.get(key);
    return value === undefined ? null : (JSON.parse(value) as Wish);
  });
}

export async function rememberWishes(
  state: Pick<SharedState, 'setAll'>,
  wishes: readonly { readonly ref: SubscriptionRef; readonly wish: Wish }[],
): Promise<void> {
  if (wishes.length > 0)
    await state.setAll(
      wishes.map(({ ref, wish }) => ({ key: keyOf(ref), value: JSON.stringify(wish) })),
      MEMORY_MS,
    );
}

/** The key is a hash, because client ids and filters may have 65,535 bytes. */
function keyOf({ clientid, topic }: SubscriptionRef): string {
  return `wish:${createHash('sha256')
    .update(JSON.stringify([clientid, topic]))
    .digest('hex')}`;
}
