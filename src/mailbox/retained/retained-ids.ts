import { createHash } from 'node:crypto';
import type { SharedState } from '../../lanes/state';
import type { Message } from '../../mqtt/message';
import { timeOf } from '../../mqtt/message-id';

/** As long as the default ttl keeps messages (ms). */
const MEMORY_MS = 7 * 86_400_000;
const KEPT = '+';

/**
 * Which message EMQX retains for a topic. EMQX sends that message itself to a client that subscribes, so a copy from
 * the server would be a duplicate. The newest message by publishReceivedAt counts, then by id, so that a late event
 * does not replace a newer one. Ids alone don't tell, because a last will has the id of its CONNECT.
 */
export class RetainedIds {
  constructor(private readonly state: Pick<SharedState, 'raise' | 'get'>) {}

  async note(messages: readonly Message[]): Promise<void> {
    // A publish with an empty payload deletes the retained message.
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

  /** The newest publish with the retain flag. `kept` is false if it deleted the retained message. */
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

/**
 * Earlier versions wrote no time. Their values sort before those with a time, because EMQX's ids begin with 000 and
 * times of today with 01.
 */
const VALUE = /^(?:(\d{14}):)?([^+]*)(\+?)$/;

/** Texts of this form sort like their times. */
const orderOf = (publishReceivedAt: number): string => `${String(Math.max(0, publishReceivedAt)).padStart(14, '0')}:`;

function keyOf(topic: string): string {
  return `retained:${createHash('sha256').update(topic).digest('hex')}`;
}
