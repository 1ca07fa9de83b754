import { BSON, type Document } from 'mongodb';
import type { MongoStore } from '../../src/stores/mongodb';
import { MongoStandin } from '../standin/mongodb/server';
import { message } from '../support/messages';
import { mongoStore } from '../support/mongo';

const MEGABYTE = 1_000_000;
const soon = () => Date.now() + 60_000;

/** The commands that the driver sends, counted by a stand-in in memory. */
describe('mongodb cost', () => {
  let server: MongoStandin;
  beforeAll(async () => (server = await MongoStandin.start()));
  afterAll(() => server.close());

  const migrated = async (name: string): Promise<MongoStore> => {
    const store = mongoStore(server.url(name));
    await store.migrate();
    return store;
  };
  const sent = async (work: () => Promise<unknown>): Promise<Document[]> => {
    const before = server.commands.length;
    await work();
    return server.commands.slice(before);
  };
  const namesOf = (commands: readonly Document[]) => commands.map((command) => Object.keys(command)[0] ?? '');
  const inserts = (count: number) => Array.from({ length: count }, () => 'insert');

  it.each([
    ['16 messages', 16, 1],
    ['256 messages', 256, 4],
  ])('saves and removes %s in a constant number of commands', async (_, count, commands) => {
    const store = await migrated('cost');
    const batch = Array.from({ length: count }, () => message({ topic: 'cost' }));
    const save = () => store.saveMessages(batch);
    const remove = () => store.removeMessages(batch, soon());
    expect(namesOf(await sent(save))).toEqual(['find', ...inserts(commands), 'find']);
    expect(namesOf(await sent(save))).toEqual(['find', ...inserts(commands), 'find']);
    expect(namesOf(await sent(remove))).toEqual([...inserts(commands), 'delete']);
    expect(namesOf(await sent(remove))).toEqual([...inserts(commands), 'update', 'delete']);
    expect(namesOf(await sent(save))).toEqual(['find', 'delete']);
    await store.close();
  });

  it('sends the same commands for 256 topics as for one', async () => {
    const store = await migrated('topics');
    const save = (topics: number) => store.saveMessages(Array.from({ length: 256 }, (_, i) => message({ topic: `t/${i % topics}` })));
    const one = namesOf(await sent(() => save(1)));
    expect(namesOf(await sent(() => save(256)))).toEqual(one);
    await store.close();
  });

  it('looks for tombstones in what the primary has written, confirmed by a majority or not', async () => {
    const store = await migrated('concern');
    const finds = (await sent(() => store.saveMessages([message({ topic: 't' })]))).filter((command) => 'find' in command);
    expect(finds).toHaveLength(2);
    for (const find of finds) expect(find).toMatchObject({ find: 'mqtt_tombstone', readConcern: { level: 'local' } });
    await store.close();
  });

  it('sends large messages in commands of a few MB, and reads them all', async () => {
    const store = await migrated('large');
    const batch = Array.from({ length: 64 }, (_, i) => message({ topic: 'large', payload: Buffer.alloc(MEGABYTE, i) }));
    const commands = (await sent(() => store.saveMessages(batch))).filter((command) => 'insert' in command);
    const bytes = commands.map((command) => BSON.calculateObjectSize(command));
    expect(bytes.length).toBeGreaterThan(64 / 4);
    expect(Math.max(...bytes)).toBeLessThan(5 * MEGABYTE);
    // The stand-in does not divide an answer of more than 16 MB, as MongoDB does.
    for (let i = 0; i < batch.length; i += 8) {
      const page = await store.listMessages({ topic: 'large', after: batch[i - 1]?.id ?? '', limit: 8, now: Date.now() });
      const expected = batch.slice(i, i + 8).map(({ id, payload }) => [id, payload[0], MEGABYTE]);
      expect(page.map(({ id, payload }) => [id, payload[0], payload.length])).toEqual(expected);
    }
    await store.close();
  });

  it('removes without reading a payload', async () => {
    const store = await migrated('refs');
    const batch = Array.from({ length: 10 }, () => message({ topic: 'refs', expiresAt: Date.now() - 1 }));
    await store.saveMessages(batch);
    const work = async () => {
      await store.listRefs({ topic: 'refs', after: '', limit: 100, now: 0 });
      await store.removeMessages(batch.slice(0, 2), soon());
      await store.trimTopic('refs', 6);
      await store.purgeExpired(Date.now(), 100);
      await store.oldestMessageAt(Date.now());
      await store.topicCounts(['refs'], Date.now());
    };
    const finds = (await sent(work)).filter((command) => 'find' in command);
    expect(finds.length).toBeGreaterThan(3);
    for (const { projection } of finds) expect(Object.keys(projection as Document)).not.toContain('payload');
    expect(await store.countMessages()).toBe(0);
    await store.close();
  });

  it('finds out by two queries in the order of an index that nothing has expired', async () => {
    const store = await migrated('purge');
    const lifetimes = [7 * 24 * 60 * 60_000, 60_000];
    await store.saveMessages(Array.from({ length: 500 }, (_, i) => message({ topic: 'purge', expiresAt: Date.now() + lifetimes[i % 2]! })));
    const commands = await sent(() => store.purgeExpired(Date.now(), 1_000));
    expect(namesOf(commands)).toEqual(['find', 'find']);
    for (const command of commands) expect(command).toMatchObject({ sort: { expires_at: 1 }, limit: 1_000, projection: { _id: 1 } });
    await store.close();
  });
});
