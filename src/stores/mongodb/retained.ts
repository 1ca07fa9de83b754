import type { Document } from 'mongodb';
import type { Message } from '../../mqtt/message';
import { saveOrBisect } from '../shared/bisect';
import { fillTopics } from '../shared/fill-page';
import { isNewer, newestMessages } from '../shared/newest';
import { compareText } from '../shared/order';
import type { Refusal, RetainedRef, RetainedStore, TopicQuery } from '../store';
import type { Database } from './database';
import { keyOf } from './keys';
import { putNewest } from './newest';
import { toDocument, toMessage, type MessageDocument } from './rows';
import { TopicIndex } from './topic-index';

const NAMES = { collection: 'mqtt_retain', key: 'topic_key', versions: ['msgid', 'arrived'] };
const BY_TOPIC = 'mqtt_retain_topic_key';

/** mqtt_retain. */
export class RetainedCollection implements RetainedStore {
  private readonly topicIndex: TopicIndex;

  constructor(private readonly db: Database) {
    this.topicIndex = new TopicIndex(db, 'mqtt_retain', { hint: BY_TOPIC });
  }

  putRetained(messages: readonly Message[]): Promise<Refusal[]> {
    return saveOrBisect(newestMessages(messages), (batch) =>
      putNewest(
        this.db,
        NAMES,
        batch.map((message) => ({ key: keyOf(message.topic), ...orderOf(message), fields: fieldsOf(message) })),
      ),
    );
  }

  async deleteRetained(refs: readonly RetainedRef[]): Promise<void> {
    if (refs.length === 0) return;
    await this.db.bulk(
      'mqtt_retain',
      refs.map((ref) => ({ deleteOne: { filter: { topic_key: keyOf(ref.topic), ...orderOf(ref).notNewer } } })),
    );
  }

  /** Reads the topics first, so that payloads of messages that don't match are never read into memory. */
  listRetained(query: TopicQuery): Promise<Message[]> {
    return fillTopics(query, this.topicIndex, (topics) => this.read(topics));
  }

  private async read(topics: readonly string[]): Promise<Message[]> {
    if (topics.length === 0) return [];
    const found = await this.db.find<MessageDocument>('mqtt_retain', { topic_key: { $in: topics.map(keyOf) } });
    return found.map((each) => toMessage(each, true)).sort((a, b) => compareText(a.topic, b.topic));
  }
}

/** Fields of an older message that this one lacks become null, which is read like an absent field. */
function fieldsOf(message: Message) {
  const { retain: _retain, topic_key: _key, ...fields } = toDocument(message);
  return { username: null, properties: null, expires_at: null, ...fields };
}

/** A document of EMQX's plugin may have another type of time, or none. It then counts as older. */
function orderOf(ref: RetainedRef) {
  const at = new Date(ref.publishReceivedAt);
  const notNewer = { $or: [{ arrived: { $lt: at } }, { arrived: at, msgid: { $lte: ref.id } }, { arrived: { $not: { $type: 'date' } } }] };
  const newer = ({ msgid, arrived }: Document): boolean =>
    arrived instanceof Date && isNewer({ id: String(msgid), publishReceivedAt: arrived.getTime() }, ref);
  return { notNewer, isNewer: newer };
}
