import type { Document, Long } from 'mongodb';
import { clampQos } from '../../mqtt/qos';
import { compareText } from '../shared/order';
import { isOver, seenDay } from '../shared/unseen';
import type { ClientState, ClientStore, Position, PositionStore, Purged, StateTimes, Subscription, SubscriptionRef } from '../store';
import type { Database, Id, Write } from './database';
import { keyOf } from './keys';
import { putNewest } from './newest';
import { timeOf, type StoredTime } from './rows';
import { TopicIndex } from './topic-index';

interface ClientDocument extends Document {
  readonly clientid: string;
  readonly state?: number | null;
  readonly node?: string | null;
  readonly online_at?: StoredTime;
  readonly offline_at?: StoredTime;
  readonly changed_at: Date;
}

interface SubscriptionDocument extends Document {
  readonly topic: string;
  readonly qos?: number | Long | null;
}

interface PositionDocument extends Document {
  readonly clientid: string;
  readonly topic: string;
  readonly msgid: string;
  readonly receipts?: readonly string[];
}

const CLIENTS = { collection: 'mqtt_client', key: 'client_key', version: 'changed_at' };
const BY_CLIENT_AND_TOPIC = 'mqtt_acked_client_key_topic_key';

/** EMQX's own document whose message is gone says nothing, and has no msgid. */
const KNOWN = { msgid: { $type: 'string' } };

/** mqtt_client, mqtt_sub and mqtt_acked. */
export class ClientCollections implements ClientStore, PositionStore {
  constructor(private readonly db: Database) {}

  saveClientStates(states: readonly ClientState[]): Promise<void> {
    const versions = newestByClient(states).map((state) => ({
      key: keyOf(state.clientid),
      version: new Date(state.at),
      fields: {
        ...{ clientid: state.clientid, state: state.connected ? 1 : 0, node: state.node, seen_at: new Date(state.at) },
        // What the event does not tell stays as it was.
        ...(state.connectedAt !== null && { online_at: new Date(state.connectedAt) }),
        ...(state.disconnectedAt !== null && { offline_at: new Date(state.disconnectedAt) }),
      },
    }));
    return putNewest(this.db, CLIENTS, versions);
  }

  async getClientState(clientid: string): Promise<ClientState | null> {
    const [found] = await this.db.find<ClientDocument>('mqtt_client', { client_key: keyOf(clientid) }, { limit: 1 });
    if (found === undefined) return null;
    return {
      ...{ clientid: found.clientid, connected: found.state === 1, node: found.node ?? null },
      ...{ connectedAt: timeOf(found.online_at), disconnectedAt: timeOf(found.offline_at), at: found.changed_at.getTime() },
    };
  }

  async putSubscriptions(subscriptions: readonly Subscription[]): Promise<void> {
    const last = lastOf(subscriptions, ({ clientid }) => clientid);
    await this.db.upsert('mqtt_sub', last.map(({ clientid, topic, qos, seenAt }) => {
      const seen = seenAt === undefined ? { $unset: { seen_at: '' } } : { $setOnInsert: { seen_at: new Date(seenAt) } };
      return put(clientid, topic, { $set: { clientid, topic, qos }, ...seen });
    }));
    // One that has no time is an assigned one.
    const refreshed = last.flatMap(({ clientid, topic, seenAt }): Write[] =>
      seenAt === undefined ? [] : [{ updateMany: { filter: { ...key(clientid, topic), seen_at: { $exists: true } }, update: { $set: { seen_at: new Date(seenAt) } } } }],
    );
    await this.db.upsert('mqtt_sub', refreshed);
  }

  async deleteSubscriptions(refs: readonly SubscriptionRef[]): Promise<void> {
    await this.db.upsert('mqtt_sub', refs.map(({ clientid, topic }) => ({ deleteOne: { filter: key(clientid, topic) } })));
  }

  async listSubscriptions(clientid: string): Promise<Subscription[]> {
    const found = await this.db.find<SubscriptionDocument>('mqtt_sub', { client_key: keyOf(clientid) });
    return found.map(({ topic, qos }) => ({ clientid, topic, qos: clampQos(Number(qos ?? 0)) })).sort((a, b) => compareText(a.topic, b.topic));
  }

  async getPositions(consumer: string, topics: readonly string[]): Promise<Position[]> {
    if (topics.length === 0) return [];
    const filter = { client_key: keyOf(consumer), topic_key: { $in: topics.map(keyOf) }, ...KNOWN };
    return (await this.db.find<PositionDocument>('mqtt_acked', filter)).map(toPosition);
  }

  async listPositions(consumer: string, after: string, limit: number): Promise<Position[]> {
    const index = new TopicIndex(this.db, 'mqtt_acked', { hint: BY_CLIENT_AND_TOPIC }, { client_key: keyOf(consumer), ...KNOWN });
    const topics: string[] = [];
    if (limit > 0) for await (const topic of index.behind(after)) if (topics.push(topic) >= limit) break;
    return (await this.getPositions(consumer, topics)).sort((a, b) => compareText(a.topic, b.topic));
  }

  async positionsOfTopic(topic: string): Promise<Position[]> {
    const found = await this.db.find<PositionDocument>('mqtt_acked', { topic_key: keyOf(topic), ...KNOWN });
    return found.map(toPosition);
  }

  async putPositions(positions: readonly Position[]): Promise<void> {
    const last = lastOf(positions, ({ consumer }) => consumer);
    const numbers = await this.messageNumbers(last);
    await this.db.upsert('mqtt_acked', last.map((position) => toOperation(position, numbers.get(position.id))));
  }

  async purgePositions(before: number, limit: number): Promise<Purged> {
    const due = await this.due<Document>('mqtt_acked', before, limit);
    return this.purge('mqtt_acked', due, () => 0, before, limit);
  }

  async purgeSubscriptions(before: number, limit: number): Promise<Purged> {
    const due = await this.due<Document & { client_key: string }>('mqtt_sub', before, limit);
    const ofThem = { client_key: { $in: [...new Set(due.map(({ client_key }) => client_key))] } };
    const clients = await this.db.find<ClientDocument & { client_key: string }>('mqtt_client', ofThem, { projection: { client_key: 1, state: 1, changed_at: 1 } });
    const recent = { ...ofThem, seen_at: { $gt: new Date(before) } };
    const others = await this.db.find<{ client_key: string; seen_at: Date }>('mqtt_sub', recent, { projection: { client_key: 1, seen_at: 1 } });
    const seen = new Map<string, number>();
    const note = (client: string, at: number) => seen.set(client, Math.max(seen.get(client) ?? 0, at));
    for (const { client_key, state, changed_at } of clients) note(client_key, state === 1 ? Date.now() : changed_at.getTime());
    for (const { client_key, seen_at } of others) note(client_key, seen_at.getTime());
    return this.purge('mqtt_sub', due, ({ client_key }) => seen.get(client_key) ?? 0, before, limit);
  }

  async purgeClientStates(before: StateTimes, limit: number): Promise<Purged> {
    const due = await this.due<ClientDocument & { client_key: string }>('mqtt_client', before.disconnected, limit);
    const keys = due.map(({ client_key }) => client_key);
    const subscribed = await this.db.find<{ client_key: string }>('mqtt_sub', { client_key: { $in: keys }, seen_at: { $exists: false } }, { projection: { client_key: 1 } });
    const assigned = new Set(subscribed.map(({ client_key }) => client_key));
    const isNeeded = ({ client_key, state, changed_at }: (typeof due)[number]) =>
      assigned.has(client_key) || !isOver({ connected: state === 1, at: changed_at.getTime() }, before);
    return this.purge('mqtt_client', due, (each) => (isNeeded(each) ? Date.now() : 0), before.disconnected, limit);
  }

  private due<T extends Document>(collection: string, before: number, limit: number): Promise<T[]> {
    const projection = { client_key: 1, state: 1, changed_at: 1 };
    return this.db.find<T>(collection, { seen_at: { $lte: new Date(before) } }, { sort: { seen_at: 1 }, limit, projection });
  }

  /**
   * `seenOf`: when the document's client was seen last, by other documents. A document that is still needed gets that as its own seen_at, so that
   * the next look at it comes as late. One that changes meanwhile stays.
   */
  private async purge<T extends Document>(collection: string, due: readonly T[], seenOf: (each: T) => number, before: number, limit: number): Promise<Purged> {
    const old = { seen_at: { $lte: new Date(before) } };
    const idsOf = (documents: readonly T[]) => ({ _id: { $in: documents.map(({ _id }) => _id as Id) }, ...old });
    const [kept, gone] = [due.filter((each) => seenOf(each) > before), due.filter((each) => seenOf(each) <= before)];
    await this.db.upsert(collection, kept.map((each): Write => ({ updateMany: { filter: idsOf([each]), update: { $set: { seen_at: new Date(seenOf(each)) } } } })));
    const removed = gone.length === 0 ? 0 : await this.db.delete(collection, idsOf(gone));
    return { removed, more: due.length >= limit };
  }

  /** What EMQX's own readers go by: the _id of the message. */
  private async messageNumbers(positions: readonly Position[]): Promise<Map<string, unknown>> {
    const ids = positions.map(({ id }) => id).filter((id) => id !== '');
    if (ids.length === 0) return new Map();
    const found = await this.db.find<Document>('mqtt_msg', { msgid: { $in: ids } }, { projection: { msgid: 1 } });
    return new Map(found.map(({ msgid, _id }) => [msgid as string, _id]));
  }
}

const key = (clientid: string, topic: string) => ({ client_key: keyOf(clientid), topic_key: keyOf(topic) });

/** updateMany, as for tombstones. */
const put = (clientid: string, topic: string, update: Document): Write => ({
  updateMany: { filter: key(clientid, topic), update, upsert: true },
});

function toOperation({ consumer, topic, id, receipts }: Position, number: unknown): Write {
  if (id === '' && receipts.length === 0) return { deleteOne: { filter: key(consumer, topic) } };
  const fields = { clientid: consumer, topic, msgid: id, receipts, seen_at: new Date(seenDay({ receipts }, Date.now())) };
  return put(consumer, topic, number === undefined ? { $set: fields, $unset: { mongo_id: '' } } : { $set: { ...fields, mongo_id: number } });
}

const toPosition = ({ clientid, topic, msgid, receipts }: PositionDocument): Position => ({
  ...{ consumer: clientid, topic, id: msgid, receipts: receipts ?? [] },
});

/** One write a document: those of a bulk write come in any order. */
function lastOf<T extends { readonly topic: string }>(all: readonly T[], client: (each: T) => string): T[] {
  return [...new Map(all.map((each) => [JSON.stringify([client(each), each.topic]), each])).values()];
}

function newestByClient(states: readonly ClientState[]): ClientState[] {
  const newest = new Map<string, ClientState>();
  for (const state of states) if ((newest.get(state.clientid)?.at ?? -Infinity) <= state.at) newest.set(state.clientid, state);
  return [...newest.values()];
}
