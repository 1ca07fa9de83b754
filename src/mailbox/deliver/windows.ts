import { createHash } from 'node:crypto';
import type { SharedState } from '../../lanes/state';
import { WINDOW_TTL_MS } from '../times';
import { EMPTY, isEmpty, type Window } from './window';

/** Names a consumer in the shared state. Client ids may have 65,535 bytes; keys stay short. */
export function ownerOf(consumer: string): string {
  return createHash('sha256').update(consumer).digest('hex');
}

/** Consumers' windows in the shared state. Only the consumer's lane writes: no lock. */
export class Windows {
  constructor(private readonly state: Pick<SharedState, 'get' | 'set' | 'delete'>) {}

  load(consumer: string): Promise<Window> {
    return loadWindow(this.state, consumer);
  }

  async save(consumer: string, window: Window): Promise<void> {
    if (isEmpty(window)) await this.state.delete(keyOf(consumer));
    else await this.state.set(keyOf(consumer), JSON.stringify(window), WINDOW_TTL_MS);
  }
}

export async function loadWindow(state: Pick<SharedState, 'get'>, consumer: string): Promise<Window> {
  const stored = await state.get(keyOf(consumer));
  return stored === null ? EMPTY : (JSON.parse(stored) as Window);
}

function keyOf(consumer: string): string {
  return `window:${ownerOf(consumer)}`;
}
