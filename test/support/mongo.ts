import { MongoClient } from 'mongodb';
import { parseServiceUrl } from '../../src/config/url';
import { MongoStore } from '../../src/stores/mongodb';

export function mongoStore(url: string): MongoStore {
  return new MongoStore(parseServiceUrl(url, ['mongodb']));
}

/** The URL of an empty database on the server. */
export async function emptyMongo(server: string, name: string): Promise<string> {
  const url = Object.assign(new URL(server), { pathname: `/${name}` }).href;
  const client = new MongoClient(url, { serverSelectionTimeoutMS: 30_000, socketTimeoutMS: 60_000 });
  try {
    for (const { name: collection } of await client.db().listCollections().toArray()) await client.db().dropCollection(collection);
  } finally {
    await client.close();
  }
  return url;
}
