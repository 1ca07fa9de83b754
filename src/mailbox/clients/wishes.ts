import { createHash } from 'node:crypto';
import type { SharedState } from '../../lanes/state';
import type { Wish } from './wish';

/** How long it is remembered what a client wanted last: events of a client that are further apart don't overtake each other. ms. */
const MEMORY_MS = 10 * 60_000;

export async function recallWish(state: Pick<SharedState, 'get'>, clientid: string, filter: string): Promise<Wish | null> {
  const known = await state.get(keyOf(clientid, filter));
  return known === null ? null : (JSON.parse(known) as Wish);
}

export async function rememberWish(state: Pick<SharedState, 'set'>, clientid: string, filter: string, wish: Wish): Promise<void> {
  await state.set(keyOf(clientid, filter), JSON.stringify(wish), MEMORY_MS);
}

/** Client ids and filters may have 65,535 bytes; keys stay short. */
function keyOf(clientid: string, filter: string): string {
  return `wish:${createHash('sha256').update(JSON.stringify([clientid, filter])).digest('hex')}`;
}
