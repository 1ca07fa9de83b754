import type { Document, Long } from 'mongodb';
import { clampQos } from '../../mqtt/qos';
import { lastSubscriptions, newestStates } from '../shared/newest';
import { compareText } from '../shared/order';
import { isOver } from '../shared/unseen';
import type { ClientState, ClientStore, Purged, StateTimes, Subscription, SubscriptionRef } from '../store';
import type { Database, Write } from './database';
import { keyOf } from './keys';
import { putNewest } from './newest';
import { due, purgeUnseen } from './purge';
import { timeOf, type StoredTime } from './rows';

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

const CLIENTS = { collection: 'mqtt_client', key: 'client_key', versions: ['changed_at'] };

/** mqtt_client and mqtt_sub. */
export class ClientCollections implements ClientStore {
  constructor(private readonly db: Database) {}

  saveClientStates(states: readonly ClientState[]): Promise<void> {
    const versions = newestStates(states).map((state) => ({
      key: keyOf(state.clientid),
      notNewer: { changed_at: { $lte: new Date(state.at) } },
      isNewer: (stored: Document) => stored['changed_at'] > new Date(state.at),
      fields: {
        ...{
          clientid: state.clientid,
          state: state.connected ? 1 : 0,
          node: state.node,
          seen_at: new Date(state.at),
          changed_at: new Date(state.at),
        },
        // Fields that the event does not tell stay unchanged.
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
    const last = lastSubscriptions(subscriptions);
    await this.db.upsert(
      'mqtt_sub',
      last.map(({ clientid, topic, qos, seenAt }) => {
        const seen = seenAt === undefined ? { $unset: { seen_at: '' } } : { $setOnInsert: { seen_at: new Date(seenAt) } };
        return put(clientid, topic, { $set: { clientid, topic, qos }, ...seen });
      }),
    );
    // A subscription without a time is an assigned one.
    const refreshed = last.flatMap(({ clientid, topic, seenAt }): Write[] =>
      seenAt === undefined
        ? []
        : [
            {
              updateMany: {
                filter: { ...key(clientid, topic), seen_at: { $exists: true } },
                update: { $set: { seen_at: new Date(seenAt) } },
              },
            },
          ],
    );
    await this.db.upsert('mqtt_sub', refreshed);
  }

  async deleteSubscriptions(refs: readonly SubscriptionRef[]): Promise<void> {
    await this.db.upsert(
      'mqtt_sub',
      refs.map(({ clientid, topic }) => ({ deleteOne: { filter: key(clientid, topic) } })),
    );
  }

  async listSubscriptions(clientid: string): Promise<Subscription[]> {
    const found = await this.db.find<SubscriptionDocument>('mqtt_sub', { client_key: keyOf(clientid) });
    return found
      .map(({ topic, qos }) => ({ clientid, topic, qos: clampQos(Number(qos ?? 0)) }))
      .sort((a, b) => compareText(a.topic, b.topic));
  }

  async purgeSubscriptions(before: number, limit: number): Promise<Purged> {
    const found = await due<Document & { client_key: string }>(this.db, 'mqtt_sub', before, limit);
    const ofThem = { client_key: { $in: [...new Set(found.map(({ client_key }) => client_key))] } };
    const clients = await this.db.find<ClientDocument & { client_key: string }>('mqtt_client', ofThem, {
      projection: { client_key: 1, state: 1, changed_at: 1 },
    });
    const recent = { ...ofThem, seen_at: { $gt: new Date(before) } };
    const others = await this.db.find<{ client_key: string; seen_at: Date }>('mqtt_sub', recent, {
      projection: { client_key: 1, seen_at: 1 },
    });
    const seen = new Map<string, number>();
    const note = (client: string, at: number) => seen.set(client, Math.max(seen.get(client) ?? 0, at));
    for (const { client_key, state, changed_at } of clients) note(client_key, state === 1 ? Date.now() : changed_at.getTime());
    for (const { client_key, seen_at } of others) note(client_key, seen_at.getTime());
    return purgeUnseen(this.db, 'mqtt_sub', found, ({ client_key }) => seen.get(client_key) ?? 0, { before, limit });
  }

  async purgeClientStates(before: StateTimes, limit: number): Promise<Purged> {
    const found = await due<ClientDocument & { client_key: string }>(this.db, 'mqtt_client', before.disconnected, limit);
    const keys = found.map(({ client_key }) => client_key);
    const subscribed = await this.db.find<{ client_key: string }>(
      'mqtt_sub',
      { client_key: { $in: keys }, seen_at: { $exists: false } },
      { projection: { client_key: 1 } },
    );
    const assigned = new Set(subscribed.map(({ client_key }) => client_key));
    const isNeeded = ({ client_key, state, changed_at }: (typeof found)[number]) =>
      assigned.has(client_key) || !isOver({ connected: state === 1, at: changed_at.getTime() }, before);
    return purgeUnseen(this.db, 'mqtt_client', found, (each) => (isNeeded(each) ? Date.now() : 0), { before: before.disconnected, limit });
  }
}

const key = (clientid: string, topic: string) => ({ client_key: keyOf(clientid), topic_key: keyOf(topic) });

/** updateMany is used for the reason given at Write in database.ts. */
const put = (clientid: string, topic: string, update: Document): Write => ({
  updateMany: { filter: key(clientid, topic), update, upsert: true },
});
