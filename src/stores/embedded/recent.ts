import { behind } from './database';
import { bytesOf, textOf } from './ids';
import type { Log, Stored } from './log';
import type { Meta } from './meta';

/** Longer names of topics are looked up in their table each time, so that the memory stays bounded. */
const MOST_NAME_LENGTH = 256;

/** In the place of the number of changes: a transaction has begun and not ended, or has failed. */
const UNSURE = -1;

export interface RecentMessage extends Stored {
  /** The message's id as a text. */
  readonly text: string;
  /** Whether the index by topic has the message, too, in a transaction that may not be committed yet. */
  isIndexed: boolean;
}

/** A topic with recent messages. */
interface RecentTopic {
  name: string | null;
  /** In order. At most half of them are ids of messages that are not here any more. */
  ids: string[];
  /** The number of its messages here, and how many of these are in the index by topic, too. */
  count: number;
  indexed: number;
}

/**
 * The messages that the index by topic does not have yet: those with greater ids than `indexedTo`. On the disk they are
 * only in the log. This class has them in memory, in the order of each topic. So a batch of messages to 100 topics does
 * not change 100 pages of the index, and a message that is removed soon is never put there.
 *
 * Transactions change this memory before they are committed. So a reader asks the log whether a message is stored. If a
 * transaction fails, the number of changes in the tables differs from the number here, and the next transaction or
 * reader reads the memory's contents from the log again.
 */
export class Recent {
  private readonly messages = new Map<string, RecentMessage>();
  private readonly topics = new Map<number, RecentTopic>();
  private readonly numbers = new Map<string, number>();
  /** The number of changes that the memory shows; null if nothing has been read yet. */
  private changes: number | null = null;
  /** The number of changes at the beginning of the transaction. */
  private before = 0;
  /** How many messages are in the index, too. */
  private indexed = 0;
  private to = '';
  /** Every reader finds the messages up to this id in the index by topic. */
  private forgottenTo = '';

  constructor(
    private readonly meta: Meta,
    private readonly log: Log,
  ) {}

  /** Must be called before something is read outside of a transaction. Another store may have changed the tables. */
  load(): void {
    if (this.changes === null || this.meta.changes > this.changes) this.read();
  }

  /** Must be called at the beginning of a transaction that changes messages. */
  begin(): void {
    this.before = this.meta.changes;
    if (this.changes !== this.before) this.read();
    this.changes = UNSURE;
  }

  /** Must be called at the end of a transaction that has called begin(). */
  end(isChanged: boolean): void {
    this.changes = isChanged ? this.meta.nextChange() : this.before;
  }

  /**
   * Passes on the outcome of transactions that call begin(). If one fails, readers would miss the messages that it has
   * removed here until the next one begins.
   */
  async watch<T>(transactions: Promise<T>): Promise<T> {
    try {
      return await transactions;
    } catch (error) {
      this.changes = UNSURE;
      throw error;
    }
  }

  private read(): void {
    this.messages.clear();
    this.topics.clear();
    this.numbers.clear();
    this.indexed = 0;
    this.to = textOf(this.meta.indexedTo);
    // A reader may not see yet what an earlier transaction has put into the index, so these messages stay here, too.
    if (this.changes === null) this.forgottenTo = this.to;
    for (const { id, stored } of this.log.entries({ from: behind(bytesOf(this.forgottenTo)) })) {
      const text = textOf(id);
      const message: RecentMessage = { ...stored, text, isIndexed: false };
      this.add(message);
      if (text <= this.to) this.noteIndexed(message);
    }
    this.changes = this.meta.changes;
  }

  /** In a transaction: the index by topic has all messages up to this id, and no others. */
  get indexedTo(): string {
    return this.to;
  }

  /** In a transaction: how many messages are not in the index. */
  get size(): number {
    return this.messages.size - this.indexed;
  }

  find(text: string): RecentMessage | undefined {
    return this.messages.get(text);
  }

  /** The number of a topic with recent messages, if it is known here. */
  numberOf(topic: string): number | null {
    return this.numbers.get(topic) ?? null;
  }

  /**
   * In a transaction that saves the message.
   * @param name of the topic, if numberOf() should know it.
   */
  add(message: RecentMessage, name: string | null = null): void {
    const { text, topic: number } = message;
    let topic = this.topics.get(number);
    if (topic === undefined) this.topics.set(number, (topic = { name: null, ids: [], count: 0, indexed: 0 }));
    if (name !== null && topic.name === null && name.length <= MOST_NAME_LENGTH) {
      topic.name = name;
      this.numbers.set(name, number);
    }
    const { ids } = topic;
    const at = (ids.at(-1) ?? '') < text ? ids.length : firstFrom(ids, text);
    // A message that is saved again may have its old place.
    if (at === ids.length) ids.push(text);
    else if (ids[at] !== text) ids.splice(at, 0, text);
    topic.count++;
    this.messages.set(text, message);
  }

  /** In a transaction that removes the message. */
  remove(message: RecentMessage): void {
    const topic = this.topics.get(message.topic) as RecentTopic;
    this.messages.delete(message.text);
    topic.count--;
    if (message.isIndexed) {
      topic.indexed--;
      this.indexed--;
    }
    if (topic.count > 0) {
      if (topic.ids.length > 2 * topic.count) topic.ids = topic.ids.filter((id) => this.messages.get(id)?.topic === message.topic);
      return;
    }
    this.topics.delete(message.topic);
    if (topic.name !== null) this.numbers.delete(topic.name);
  }

  /** The topic's recent messages in the order of their ids. */
  *of(number: number, after: string): Generator<RecentMessage> {
    const ids = this.topics.get(number)?.ids ?? [];
    for (let i = after === '' ? 0 : firstFrom(ids, after); i < ids.length; i++) {
      const text = ids[i] as string;
      const message = text === after ? undefined : this.messages.get(text);
      // An id that was removed here may have a message of another topic now.
      if (message?.topic === number) yield message;
    }
  }

  /** How many messages of the topic are here. A reader does not find them in the index yet. */
  countOf(number: number): number {
    return this.topics.get(number)?.count ?? 0;
  }

  /** In a transaction: how many messages the topic has that are not in the index. */
  countNotIndexed(number: number): number {
    const topic = this.topics.get(number);
    return topic === undefined ? 0 : topic.count - topic.indexed;
  }

  /** In a transaction: the messages with the least ids that are not in the index. */
  oldest(limit: number): RecentMessage[] {
    const texts = [...this.messages.keys()].sort();
    const oldest: RecentMessage[] = [];
    for (const text of texts) {
      const message = this.messages.get(text) as RecentMessage;
      if (!message.isIndexed && oldest.push(message) >= limit) break;
    }
    return oldest;
  }

  /** In a transaction that has put these messages into the index by topic. */
  setIndexed(messages: readonly RecentMessage[]): void {
    for (const message of messages) this.noteIndexed(message);
    const last = messages.at(-1);
    if (last === undefined) return;
    this.to = last.text;
    this.meta.setIndexedTo(bytesOf(last.text));
  }

  private noteIndexed(message: RecentMessage): void {
    message.isIndexed = true;
    (this.topics.get(message.topic) as RecentTopic).indexed++;
    this.indexed++;
  }

  /** Must be called when the transaction that has put all messages up to this id into the index is committed. */
  forget(to: string): void {
    for (const message of this.messages.values()) if (message.isIndexed && message.text <= to) this.remove(message);
    this.forgottenTo = to;
  }
}

/** The place of the first text that is not less. */
function firstFrom(texts: readonly string[], text: string): number {
  let [low, high] = [0, texts.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((texts[middle] as string) < text) low = middle + 1;
    else high = middle;
  }
  return low;
}
