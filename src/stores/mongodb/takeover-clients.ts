import type { Document, Sort } from 'mongodb';
import type { Database, Id, Write } from './database';
import { keyOf } from './keys';
import type { Lease } from './lease';
import { timeOf } from './rows';

/** Hears how many documents a page had that is taken over. */
export type OnPage = (documents: number) => void;

interface Takeover {
  readonly db: Database;
  readonly lease: Lease;
  readonly onPage: OnPage;
}

interface Old extends Document {
  readonly _id: Id;
  readonly mongo_id?: Id | null;
  readonly clientid: string;
  readonly topic: string;
}

/** Keeps the newest state of each client. */
export async function takeOverClients(db: Database, lease: Lease, onPage: OnPage): Promise<void> {
  const changedAt = (old: Old): number =>
    timeOf(old['changed_at']) ?? Math.max(timeOf(old['online_at']) ?? 0, timeOf(old['offline_at']) ?? 0);
  await keepOne({ db, lease, onPage }, 'mqtt_client', {
    ...{ sort: { clientid: 1, _id: 1 }, sameAs: (a, b) => a.clientid === b.clientid, better: (a, b) => changedAt(a) > changedAt(b) },
    fields: (old) => ({ client_key: keyOf(old.clientid), changed_at: new Date(changedAt(old)) }),
  });
}

/** Keeps the newest of equal subscriptions. */
export async function takeOverSubscriptions(db: Database, lease: Lease, onPage: OnPage): Promise<void> {
  await keepOne({ db, lease, onPage }, 'mqtt_sub', {
    ...{ sort: { clientid: 1, topic: 1, _id: -1 }, sameAs: sameClientAndTopic, better: () => false, fields: keys },
  });
}

/** Keeps the position that is furthest. */
export async function takeOverAcked(db: Database, lease: Lease, onPage: OnPage): Promise<void> {
  await keepOne({ db, lease, onPage }, 'mqtt_acked', {
    ...{ sort: { clientid: 1, topic: 1, mongo_id: -1 }, sameAs: sameClientAndTopic, better: () => false },
    fields: async (old) => ({ ...keys(old), ...(typeof old['msgid'] !== 'string' && (await positionOf(db, old))) }),
  });
}

/**
 * EMQX's position is the _id of a message. If that message is gone, the last message before it in the topic is used.
 */
async function positionOf(db: Database, { topic, mongo_id }: Old): Promise<Document> {
  if (mongo_id === undefined || mongo_id === null) return {};
  const found = await db.find<Document>(
    'mqtt_msg',
    { topic_key: keyOf(topic), _id: { $lte: mongo_id } },
    { sort: { _id: -1 }, limit: 1, projection: { msgid: 1 } },
  );
  return found[0] === undefined ? {} : { msgid: found[0]['msgid'] as string };
}

const keys = ({ clientid, topic }: Old): Document => ({ client_key: keyOf(clientid), topic_key: keyOf(topic) });
const sameClientAndTopic = (a: Old, b: Old): boolean => a.clientid === b.clientid && a.topic === b.topic;

interface Rules {
  /** Puts equal documents next to each other. */
  readonly sort: Sort;
  readonly sameAs: (a: Old, b: Old) => boolean;
  /** Whether the first document, which comes later, is the one to keep. */
  readonly better: (a: Old, b: Old) => boolean;
  readonly fields: (old: Old) => Document | Promise<Document>;
}

/**
 * Keeps the best of equal documents, and fills the fields that the server's indexes use. Documents without a client id
 * or topic are ignored.
 */
async function keepOne({ db, lease, onPage }: Takeover, collection: string, rules: Rules): Promise<void> {
  let best: Old | null = null;
  for await (const page of db.pages<Old>(collection, {}, { sort: rules.sort })) {
    const operations: Write[] = [];
    for (const old of page) {
      if (typeof old.clientid !== 'string' || (typeof old.topic !== 'string' && collection !== 'mqtt_client')) continue;
      if (best === null || !rules.sameAs(old, best)) {
        if (best !== null) operations.push(await fill(best, rules));
        best = old;
      } else if (rules.better(old, best)) {
        operations.push(remove(best));
        best = old;
      } else operations.push(remove(old));
    }
    lease.check();
    await db.upsert(collection, operations);
    onPage(page.length);
  }
  if (best === null) return;
  const last = await fill(best, rules);
  lease.check();
  await db.upsert(collection, [last]);
}

const remove = ({ _id }: Old): Write => ({ deleteOne: { filter: { _id } } });

/** updateMany is used for the reason given at Write in database.ts. */
async function fill(old: Old, rules: Rules): Promise<Write> {
  return { updateMany: { filter: { _id: old._id }, update: { $set: await rules.fields(old) } } };
}
