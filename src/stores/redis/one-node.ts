import type { Message, MessageRef } from '../../mqtt/message';
import type { Database } from './database';
import { byTopic } from './groups';
import { idScore } from './id-score';
import type { Keys } from './keys';
import { DUE_TOPICS_OF, REMOVE, SAVE } from './message-scripts';
import { lifeOf, type MessageWriter } from './message-writer';
import { pack, type Packable } from './packing';
import { ownFields, valuesOf } from './rows';

/**
 * Writes to a server that has all keys. A script does everything for a batch in one round trip, and nothing comes between its steps. So a
 * message is stored whole or not at all, no reader sees a part, and promises 2 and 3 hold in either order: if the removal comes first, the
 * save finds its tombstones; if the save comes first, the removal finds its messages.
 */
export class OneNode implements MessageWriter {
  constructor(
    private readonly db: Database,
    private readonly keys: Keys,
  ) {}

  async save(messages: readonly Message[], now: number): Promise<void> {
    const list: Packable[] = [];
    for (const [topic, each] of byTopic(messages)) {
      list.push(this.keys.topic(topic), topic, each.length);
      for (const message of each) {
        list.push(this.keys.message(message.id), idScore(message.id), lifeOf(message), ...valuesOf(message), ownFields(message));
      }
    }
    await this.db.one('EVAL', SAVE, 0, this.keys.lives, this.keys.topics, now, pack(list));
  }

  remove(refs: readonly MessageRef[], now: number, tombstoneUntil: number | null): Promise<number> {
    const ids = refs.map(({ id }) => id);
    const hashes = ids.map((id) => this.keys.message(id));
    const groups = byTopic(refs).map(([topic, each]) => [this.keys.topic(topic), topic, each.map(({ id }) => id)]);
    return this.db.one('EVAL', REMOVE, 0, pack([this.keys.lives, this.keys.topics, now, tombstoneUntil ?? '', ids, hashes, groups]));
  }

  async dueTopicsOf(ids: readonly string[], now: number): Promise<(string | null)[]> {
    const topics = await this.db.one<string[]>(
      'EVAL',
      DUE_TOPICS_OF,
      0,
      this.keys.lives,
      now,
      pack([ids, ids.map((id) => this.keys.message(id))]),
    );
    return topics.map((topic) => (topic === '' ? null : topic));
  }
}
