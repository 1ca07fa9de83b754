import { createHash } from 'node:crypto';
import type { SharedState } from '../../lanes/state';
import type { Message } from '../../mqtt/message';
import { timeOf } from '../../mqtt/message-id';

/** As long as the default ttl keeps messages. ms. */
const MEMORY_MS = 7 * 86_400_000;
const KEPT = '+';

/**
 * Which message EMQX retains for a topic: EMQX sends that one itself to whoever subscribes, so a copy of the server would be a second one. The newest by
 * publishReceivedAt counts, then by id, so a late event does not undo a newer one. Ids alone do not tell: a last will has the id of its CONNECT.
 */
export class RetainedIds {
  constructor(private readonly state: Pick<SharedState, 'raise' | 'get'>) {}

  async note(messages: readonly Message[]): Promise<void> {
    // An empty payload clears what is retained.
    const entries = messages
      .filter(({ retain }) => retain)
      .map(({ topic, id, payload, publishReceivedAt }) => ({
        key: keyOf(topic),
        value: `${orderOf(publishReceivedAt)}${id}${payload.length === 0 ? '' : KEPT}`,
      }));
    if (entries.length > 0) await this.state.raise(entries, MEMORY_MS);
  }

  async idOf(topic: string): Promise<string | null> {
    const newest = await this.newest(topic);
    return newest !== null && newest.kept ? newest.id : null;
  }

  /** The newest publish with the retain flag; `kept` false: it cleared what was retained. */
  async newest(topic: string): Promise<NewestRetained | null> {
    const value = await this.state.get(keyOf(topic));
    if (value === null) return null;
    const [, time, id = '', kept] = VALUE.exec(value) ?? [];
    return { id, publishReceivedAt: time === undefined ? (timeOf(id) ?? 0) : Number(time), kept: kept === KEPT };
  }
}

export interface NewestRetained {
  readonly id: string;
  /** ms */
  readonly publishReceivedAt: number;
  readonly kept: boolean;
}

/** An earlier version wrote no time. Its values sort before those with one: EMQX's ids begin with 000, times of today with 01. */
const VALUE = /^(?:(\d{14}):)?([^+]*)(\+?)$/;

/** Sorts as the times do. */
const orderOf = (publishReceivedAt: number): string => `${String(Math.max(0, publishReceivedAt)).padStart(14, '0')}:`;

function keyOf(topic: string): string {
  return `retained:${createHash('sha256').update(topic).digest('hex')}`;
}
