import { createHash } from 'node:crypto';
import { ObjectId, type Document } from 'mongodb';
import { isStorableId } from '../../mqtt/message';
import type { Database, Id, Write } from './database';
import { keyOf } from './keys';
import type { Lease } from './lease';
import { takeOverAcked, takeOverClients, takeOverSubscriptions, type OnPage } from './takeover-clients';
import { timeOf, type StoredTime } from './rows';

export type TakenOver = 'mqtt_msg' | 'mqtt_client' | 'mqtt_sub' | 'mqtt_retain' | 'mqtt_acked';

/**
 * Prepares the documents of EMQX's own plugins for the server's unique indexes, page by page. Documents that are ready
 * stay unchanged.
 */
export const takeOver: Readonly<Record<TakenOver, (db: Database, lease: Lease, onPage: OnPage) => Promise<void>>> = {
  mqtt_msg: takeOverMessages,
  mqtt_client: takeOverClients,
  mqtt_sub: takeOverSubscriptions,
  mqtt_retain: takeOverRetained,
  mqtt_acked: takeOverAcked,
};

const PROJECTION = { msgid: 1, topic: 1, topic_key: 1, arrived: 1 };

interface OldMessage extends Document {
  readonly _id: Id;
  readonly msgid?: string | null;
  readonly topic?: string | null;
  readonly topic_key?: string;
  readonly arrived?: StoredTime;
}

async function takeOverMessages(db: Database, lease: Lease, onPage: OnPage): Promise<void> {
  // Documents with the same msgid come one after the other, the oldest first.
  const options = { sort: { msgid: 1, arrived: 1, _id: 1 }, projection: PROJECTION } as const;
  const same = new SameMessages(db);
  for await (const page of db.pages<OldMessage>('mqtt_msg', {}, options)) {
    const operations: Write[] = [];
    for (const old of page) {
      if (await same.hasSeen(old)) operations.push({ deleteOne: { filter: { _id: old._id } } });
      else operations.push(...change(old, same.isTaken(old)));
    }
    lease.check();
    await db.upsert('mqtt_msg', operations);
    onPage(page.length);
  }
}

/** Documents that share one msgid: the same message stored twice, or different messages. */
class SameMessages {
  private first: OldMessage | null = null;
  private isFirst = true;
  private contents = new Set<string>();

  constructor(private readonly db: Database) {}

  /** True if an earlier document was the same message. */
  async hasSeen(old: OldMessage): Promise<boolean> {
    this.isFirst = old.msgid !== this.first?.msgid;
    if (this.isFirst) {
      this.first = old;
      this.contents.clear();
    }
    if (this.isFirst || !isUsable(old)) return false;
    if (this.contents.size === 0 && this.first !== null) this.contents.add(await this.contentOf(this.first));
    const content = await this.contentOf(old);
    return this.contents.size === this.contents.add(content).size;
  }

  isTaken(old: OldMessage): boolean {
    return !this.isFirst || !isUsable(old);
  }

  private async contentOf({ _id }: OldMessage): Promise<string> {
    const [found] = await this.db.find<Document>('mqtt_msg', { _id: _id }, { limit: 1 });
    const { topic, sender, qos, retain, payload } = found ?? {};
    const fields = [topic, sender, qos, retain, typeof payload, Buffer.from(payload ?? '').toString('base64')];
    return createHash('sha256').update(JSON.stringify(fields)).digest('base64');
  }
}

const isUsable = ({ msgid }: OldMessage): boolean => isStorableId(msgid ?? '');

function change(old: OldMessage, needsId: boolean): Write[] {
  const { topic, topic_key, msgid } = old;
  const fields: Document = {};
  if (typeof topic === 'string' && topic_key !== keyOf(topic)) fields['topic_key'] = keyOf(topic);
  if (needsId) fields['msgid'] = newId(old);
  if (needsId && msgid) fields['msgid_before'] = msgid;
  return set(old, fields);
}

/** updateMany is used for the reason given at Write in database.ts. */
const set = ({ _id }: OldMessage, fields: Document): Write[] =>
  Object.keys(fields).length === 0 ? [] : [{ updateMany: { filter: { _id: _id }, update: { $set: fields } } }];

/**
 * An id that sorts by time like EMQX's own: 16 hex digits of microseconds, and 16 from the _id. It is always the same
 * for one document, because an interrupted takeover starts again.
 */
function newId({ _id, arrived }: OldMessage): string {
  const time = timeOf(arrived) ?? (_id instanceof ObjectId ? _id.getTimestamp().getTime() : 0);
  const microseconds = BigInt(Math.max(0, Math.round(time * 1_000)));
  return (microseconds.toString(16).padStart(16, '0') + tailOf(_id)).toUpperCase();
}

function tailOf(_id: Id): string {
  if (typeof _id === 'number' && Number.isSafeInteger(_id) && _id >= 0) return _id.toString(16).padStart(16, '0');
  // The process and counter of an ObjectId; its time is already in the new id.
  if (_id instanceof ObjectId) return _id.toHexString().slice(8);
  return createHash('sha256').update(JSON.stringify(_id)).digest('hex').slice(0, 16);
}

/** Keeps the newest message of each topic. */
async function takeOverRetained(db: Database, lease: Lease, onPage: OnPage): Promise<void> {
  const options = { sort: { topic: 1, arrived: -1, msgid: -1 }, projection: PROJECTION } as const;
  let before: string | null = null;
  for await (const page of db.pages<OldMessage>('mqtt_retain', { topic: { $type: 'string' } }, options)) {
    const operations: Write[] = [];
    for (const old of page) {
      if (old.topic === before) operations.push({ deleteOne: { filter: { _id: old._id } } });
      else operations.push(...change(old, !isUsable(old)));
      before = old.topic ?? null;
    }
    lease.check();
    await db.upsert('mqtt_retain', operations);
    onPage(page.length);
  }
}
