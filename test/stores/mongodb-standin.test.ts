import { parseServiceUrl } from '../../src/config/url';
import { MongoStore } from '../../src/stores/mongodb';
import { MongoStandin } from '../standin/mongodb/server';
import { conformance } from './conformance';

const storeAt = (url: string): MongoStore => new MongoStore(parseServiceUrl(url, ['mongodb']));

describe('mongodb, on a stand-in in memory', () => {
  let standin: Promise<MongoStandin> | null = null;
  const start = () => (standin ??= MongoStandin.start());
  afterAll(async () => (await start()).close());

  conformance('on a stand-in for MongoDB', { open: async () => storeAt((await start()).url('conformance')), many: 2_000 });
});
