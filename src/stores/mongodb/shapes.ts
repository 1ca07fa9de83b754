import type { Document } from 'mongodb';
import { RefusedError } from '../../base/errors';
import type { Database } from './database';

/** BSON types by their names in $type. Missing fields and null are allowed everywhere. */
const ALL = ['double', 'string', 'object', 'array', 'binData', 'objectId', 'bool', 'date', 'regex', 'int', 'timestamp', 'long'];
const NUMBER = ['double', 'int', 'long'];
const TEXT = ['string'];
const TIME = ['date', ...NUMBER];
const EXPECTED: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  mqtt_msg: {
    ...{ topic: TEXT, sender: TEXT, payload: [...TEXT, 'binData'], qos: NUMBER },
    ...{ retain: ['bool', ...NUMBER], arrived: TIME, msgid: TEXT },
  },
  mqtt_client: { clientid: TEXT, state: NUMBER, node: TEXT, online_at: TIME, offline_at: TIME },
  mqtt_sub: { clientid: TEXT, topic: TEXT, qos: NUMBER },
  mqtt_retain: { topic: TEXT, msgid: TEXT, sender: TEXT, payload: [...TEXT, 'binData'], qos: NUMBER, arrived: TIME },
  mqtt_acked: { clientid: TEXT, topic: TEXT },
};
/** A document with none of these fields does not belong to EMQX, although its collection has the same name. */
const ESSENTIAL: Readonly<Record<string, readonly string[]>> = {
  mqtt_msg: ['topic', 'msgid', 'payload'],
  mqtt_client: ['clientid', 'state', 'node'],
  mqtt_sub: ['clientid', 'topic', 'qos'],
  mqtt_retain: ['topic', 'payload'],
  mqtt_acked: ['clientid', 'topic', 'mongo_id'],
};

/**
 * Only reads.
 * @throws RefusedError if collections with the names of EMQX's contain something else.
 */
export async function checkShapes(db: Database): Promise<void> {
  for (const collection of await db.collections()) {
    const { name, type, options } = collection;
    const fields = EXPECTED[name as string];
    if (fields === undefined) continue;
    if (type !== 'collection') throw refused(`${name} is a ${type}, not a collection`);
    if ((options as Document | undefined)?.['capped'] === true) throw refused(`${name} is capped: nothing can be removed from it`);
    await checkDocuments(db, name as string, fields);
  }
}

async function checkDocuments(db: Database, collection: string, fields: Readonly<Record<string, readonly string[]>>): Promise<void> {
  const unlike = Object.entries(fields).map(([field, types]) => ({ [field]: { $type: ALL.filter((type) => !types.includes(type)) } }));
  const empty = Object.fromEntries((ESSENTIAL[collection] ?? []).map((field) => [field, null]));
  if ((await db.find(collection, { $or: [...unlike, empty] }, { limit: 1, projection: { _id: 1 } })).length === 0) return;
  for (const [i, [field, types]] of Object.entries(fields).entries()) {
    const [found] = await db.find<Document>(collection, unlike[i] ?? {}, { limit: 1, projection: { _id: 1 } });
    if (found !== undefined)
      throw refused(`${collection}.${field} is not ${types.join(' or ')} in the document with _id ${String(found['_id'])}`);
  }
  throw refused(`${collection} has a document without ${Object.keys(empty).join(', ')}`);
}

const refused = (reason: string): RefusedError => new RefusedError(`the collections cannot be taken over: ${reason}; nothing was changed`);
