import type { Message } from '../../mqtt/message';
import { fillTopics } from '../shared/fill-page';
import { newestMessages } from '../shared/newest';
import type { Refusal, RetainedRef, RetainedStore, TopicQuery } from '../store';
import type { Database } from './database';
import type { Keys } from './keys';
import { fromPairs, toFields, toMessage } from './rows';
import { FORGET, RETAIN } from './scripts';
import { TopicIndex } from './topic-index';

/** Retained messages, one hash per topic. */
export class Retained implements RetainedStore {
  readonly topicIndex: TopicIndex;

  constructor(
    private readonly db: Database,
    private readonly keys: Keys,
  ) {
    this.topicIndex = new TopicIndex(db, keys.retainedTopics, (topic) => keys.retained(topic));
  }

  async putRetained(messages: readonly Message[]): Promise<Refusal[]> {
    const newest = newestMessages(messages);
    await this.db.all(
      newest.map((message) => [
        'EVAL',
        RETAIN,
        1,
        this.keys.retained(message.topic),
        message.publishReceivedAt,
        message.id,
        ...toFields(message),
      ]),
    );
    await this.topicIndex.add(newest.map(({ topic }) => topic));
    return [];
  }

  async deleteRetained(refs: readonly RetainedRef[]): Promise<void> {
    await this.db.all(
      refs.map(({ topic, id, publishReceivedAt }) => ['EVAL', FORGET, 1, this.keys.retained(topic), publishReceivedAt, id]),
    );
    await this.topicIndex.removeEmpty(refs.map(({ topic }) => topic));
  }

  listRetained(query: TopicQuery): Promise<Message[]> {
    return fillTopics(query, this.topicIndex, (topics) => this.read(topics));
  }

  private async read(topics: readonly string[]): Promise<Message[]> {
    const hashes = await this.db.all<Buffer[]>(topics.map((topic) => ['HGETALLBuffer', this.keys.retained(topic)]));
    return hashes.flatMap((pairs) => {
      const fields = fromPairs(pairs);
      const message = toMessage(fields['id']?.toString() ?? '', fields);
      return message === null ? [] : [{ ...message, retain: true }];
    });
  }
}
