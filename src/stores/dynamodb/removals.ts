import { writeAll, type Write } from './batches';
import type { Client } from './client';
import { keyText } from './keys';
import type { Entry, MessageIndex } from './message-index';
import { removeParts } from './parts';
import { pooled } from './pool';
import { partsIn } from './rows';
import { text, textOf } from './values';

interface Taken {
  readonly entry: Entry;
  /** null if the message did not exist. */
  readonly message: { readonly topic: string; readonly parts: number } | null;
}

/**
 * Deletes messages one by one, because only this tells exactly which of several servers has deleted each. What belongs
 * to a message is deleted after it, so that an interrupted removal is finished by the next one for the same ids.
 */
export class Removals {
  constructor(
    private readonly client: Client,
    private readonly index: MessageIndex,
  ) {}

  /**
   * @param isStale tells whether the entry of a missing message may be deleted.
   * @returns the topics of the messages that existed.
   */
  async take(entries: readonly Entry[], isStale: (entry: Entry) => boolean = () => true): Promise<string[]> {
    const taken = await pooled(entries, (entry) => this.takeOne(entry));
    const found = taken.flatMap(({ entry, message }) => (message === null ? [] : [{ ...message, id: entry.id }]));
    const gone = taken.filter(({ entry, message }) => message !== null || isStale(entry)).map(({ entry }) => entry);
    const removals = [...gone, ...found.map(({ topic, id }) => ({ topicKey: keyText(topic), id }))];
    await writeAll(this.client, [
      ...new Map(removals.map((each): [string, Write] => [JSON.stringify([each.topicKey, each.id]), this.index.removal(each)])).values(),
    ]);
    await removeParts(
      this.client,
      found.map(({ id, parts }) => ({ owner: id, count: parts })),
    );
    return found.map(({ topic }) => topic);
  }

  private async takeOne(entry: Entry): Promise<Taken> {
    const old = await this.client.delete('mqtt_msg', { msgid: text(entry.id) });
    if (old === null || old === false) return { entry, message: null };
    return { entry, message: { topic: textOf(old['topic']) ?? '', parts: partsIn(old) } };
  }
}
