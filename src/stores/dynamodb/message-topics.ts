import type { MessageRef } from '../../mqtt/message';
import type { TopicQuery } from '../store';
import type { Client } from './client';
import { keyText } from './keys';
import type { MessageIndex } from './message-index';
import { TopicList } from './topic-list';

/** How many topics have a witness, and how long their names may be: together some 30 MB at most. */
const WITNESSES = 100_000;
const LONGEST_TOPIC = 256;

/**
 * mqtt_topic: the topics that have messages.
 *
 * A topic's witness is one of its messages, which this process has saved and whose topic it has listed. While the witness
 * is stored, the topic is listed and not empty. To look at 100 witnesses takes one request. Without them, each save would
 * write the entries of all its topics, and each removal would ask for the remaining messages of each topic.
 *
 * add() leaves an entry unwritten only if it finds the witness after its own messages are in mqtt_topic_msg. A process that
 * deletes the topic's entry has found the topic empty. If it did so after these messages were written, it would have found
 * them. If it did so before, the topic had no message at that time; so the first message since then, which is the witness
 * or is older, has written the entry again with a new token, and the process deletes no entry with this token (TopicIndex).
 *
 * leave() looks at the witness after its own messages are deleted. If another process deletes the witness later, that
 * process itself finds out whether the topic is empty.
 */
export class MessageTopics {
  private readonly topicList: TopicList;
  /** The id of each topic's witness. The topic that was used last is at the end. */
  private readonly witnesses = new Map<string, string>();

  constructor(
    client: Client,
    private readonly index: MessageIndex,
  ) {
    this.topicList = new TopicList(client, 'mqtt_topic');
  }

  list(query: TopicQuery): Promise<string[]> {
    return this.topicList.list(query);
  }

  /** Lists the topics of messages whose entries in mqtt_topic_msg exist. */
  async add(messages: readonly MessageRef[]): Promise<void> {
    const witnessed = await this.witnessed(messages.map(({ topic }) => topic));
    await this.topicList.add(messages.map(({ topic }) => topic).filter((topic) => !witnessed.has(topic)));
    for (const { topic, id } of messages) if (topic.length <= LONGEST_TOPIC) this.use(topic, this.witnesses.get(topic) ?? id);
    for (const topic of this.witnesses.keys()) {
      if (this.witnesses.size <= WITNESSES) break;
      this.witnesses.delete(topic);
    }
  }

  /** Deletes those of the topics that are empty. Must be called after the entries of `removed` were deleted. */
  async leave(topics: readonly string[], removed: ReadonlySet<string>): Promise<void> {
    for (const topic of topics) if (removed.has(this.witnesses.get(topic) ?? '')) this.witnesses.delete(topic);
    const witnessed = await this.witnessed(topics);
    await this.topicList.leave(
      topics.filter((topic) => !witnessed.has(topic)),
      (topic) => this.index.isEmpty(topic),
    );
  }

  /** The topics whose witness is stored. The others lose their witness. */
  private async witnessed(topics: readonly string[]): Promise<ReadonlySet<string>> {
    const asked = [...new Set(topics)].flatMap((topic) => {
      const id = this.witnesses.get(topic);
      return id === undefined ? [] : [{ topic, topicKey: keyText(topic), id }];
    });
    const stored = await this.index.keysOfStored(asked);
    for (const { topic, topicKey, id } of asked)
      if (!stored.has(topicKey) && this.witnesses.get(topic) === id) this.witnesses.delete(topic);
    return new Set(asked.filter(({ topicKey }) => stored.has(topicKey)).map(({ topic }) => topic));
  }

  private use(topic: string, id: string): void {
    this.witnesses.delete(topic);
    this.witnesses.set(topic, id);
  }
}
