import { readAll, writeAll, type Write } from './batches';
import type { Client } from './client';
import { keyText } from './keys';
import type { Entry, MessageIndex } from './message-index';
import { partRemovals } from './parts';
import { partsIn } from './rows';
import { text, textOf } from './values';

const TABLE = 'mqtt_msg';

/** What a removal needs to know of a message. */
export interface Stored {
  readonly topic: string;
  /** In how many items of mqtt_msg_part the payload is. */
  readonly parts: number;
}

/**
 * Deletes messages in batches. What belongs to a message is deleted after it, so that an interrupted removal is finished
 * by the next one for the same ids.
 */
export class Removals {
  constructor(
    private readonly client: Client,
    private readonly index: MessageIndex,
  ) {}

  /** Those of the messages that are stored. No id may occur twice. No payload leaves the database. */
  async stored(ids: readonly string[]): Promise<Map<string, Stored>> {
    const keys = ids.map((id) => ({ msgid: text(id) }));
    const items = await readAll(this.client, TABLE, keys, ['msgid', 'topic', 'parts']);
    return new Map(items.map((item) => [textOf(item['msgid']) ?? '', { topic: textOf(item['topic']) ?? '', parts: partsIn(item) }]));
  }

  /**
   * @param known messages of which it is known already that they are stored.
   * @param isStale tells whether the entry of a missing message may be deleted.
   * @returns the messages that were stored.
   */
  async take(
    entries: readonly Entry[],
    known: ReadonlyMap<string, Stored> = new Map(),
    isStale: (entry: Entry) => boolean = () => true,
  ): Promise<ReadonlyMap<string, Stored>> {
    const unknown = new Set(entries.map(({ id }) => id).filter((id) => !known.has(id)));
    const found = new Map([...known, ...(await this.stored([...unknown]))]);
    await writeAll(
      this.client,
      [...found.keys()].map((id): Write => ({ table: TABLE, remove: { msgid: text(id) } })),
    );
    const gone = [
      ...entries.filter((entry) => found.has(entry.id) || isStale(entry)),
      ...[...found].map(([id, { topic }]) => ({ topicKey: keyText(topic), id })),
    ];
    const removals = new Map(gone.map((entry): [string, Write] => [JSON.stringify([entry.topicKey, entry.id]), this.index.removal(entry)]));
    const parts = [...found].flatMap(([id, message]) => partRemovals(id, message.parts));
    await writeAll(this.client, [...removals.values(), ...parts]);
    return found;
  }
}
