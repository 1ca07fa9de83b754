import { MongoClient } from 'mongodb';
import { KEYED, row, TABLE, type MakePlain } from './plain';

export const mongodb: MakePlain = async (url) => {
  const client = await MongoClient.connect(url);
  const collection = client.db().collection(TABLE);
  const keyed = client.db().collection<{ _id: string }>(KEYED);
  return {
    insert: (messages) => collection.insertMany(messages.map(row)),
    insertKeyed: (messages) => keyed.insertMany(messages.map((message) => ({ ...row(message), _id: message.id }))),
    remove: (ids) => keyed.deleteMany({ _id: { $in: [...ids] } }),
    close: () => client.close(),
  };
};
