import { createHash } from 'node:crypto';
import type { SharedState } from '../../lanes/state';
import type { Message } from '../../mqtt/message';

/** As long as the default ttl keeps messages. ms. */
const MEMORY_MS = 7 * 86_400_000;
const KEPT = '+';

/**
 * Which message EMQX retains for a topic: it sends that one itself to whoever subscribes, so ours would be a second copy. Ids sort by publish
 * time, so a late event does not undo a newer one.
 */
export class RetainedIds {
  constructor(private readonly state: Pick<SharedState, 'raise' | 'get'>) {}

  async note(messages: readonly Message[]): Promise<void> {
    // An empty payload clears what is retained.
    const entries = messages
      .filter(({ retain }) => retain)
      .map(({ topic, id, payload }) => ({ key: keyOf(topic), value: payload.length === 0 ? id : `${id}${KEPT}` }));
    if (entries.length > 0) await this.state.raise(entries, MEMORY_MS);
  }

  async idOf(topic: string): Promise<string | null> {
    const newest = await this.newest(topic);
    return newest !== null && newest.kept ? newest.id : null;
  }

  /** The newest publish with the retain flag; `kept` false: it cleared what was retained. */
  async newest(topic: string): Promise<{ id: string; kept: boolean } | null> {
    const value = await this.state.get(keyOf(topic));
    if (value === null) return null;
    const kept = value.endsWith(KEPT);
    return { id: kept ? value.slice(0, -KEPT.length) : value, kept };
  }
}

function keyOf(topic: string): string {
  return `retained:${createHash('sha256').update(topic).digest('hex')}`;
}
