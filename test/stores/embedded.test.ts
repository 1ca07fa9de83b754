import { createHash } from 'node:crypto';
import { SettingError } from '../../src/base/errors';
import { Environment } from '../../src/embedded/environment';
import { numberKey } from '../../src/embedded/keys';
import { Table } from '../../src/embedded/table';
import type { Message } from '../../src/mqtt/message';
import { EmbeddedStore } from '../../src/stores/embedded';
import type { Cursor, Page } from '../../src/stores/embedded/export';
import { message, newId } from '../support/messages';
import { temporaryDirectory } from '../support/temp';
import { conformance } from './conformance';
import { noise } from './conformance/content';

const TABLES = [
  'topics',
  'topic-names',
  'topic-counts',
  'log',
  'by-topic',
  'bodies',
  'tombstone-ids',
  'expiry',
  'expiry-groups',
  'tombstones',
  'positions',
  'readers',
  'seen',
  'clients',
  'subscriptions',
  'retained-topics',
  'retained',
];
/** Keep the number of the node that was made last when anything with a long key was in them. */
const LONG_TABLES = ['topics', 'positions', 'readers', 'seen', 'clients', 'subscriptions', 'retained-topics'];
const DAY_MS = 86_400_000;

describe('embedded', () => {
  const directory = temporaryDirectory();
  let environment: Environment | null = null;
  const store = async (): Promise<EmbeddedStore> => new EmbeddedStore((environment ??= await Environment.open(directory.path)));
  afterAll(async () => {
    await environment?.close();
    directory.remove();
  });

  conformance('on the embedded database', { open: store });
});

describe('the embedded store', () => {
  const directory = temporaryDirectory();
  let environment: Environment;
  let store: EmbeddedStore;
  const open = async () => {
    environment = await Environment.open(directory.path);
    store = new EmbeddedStore(environment);
    await store.migrate();
  };
  beforeAll(open);
  afterAll(async () => {
    await environment.close();
    directory.remove();
  });

  const list = (topic: string, after = '', limit = 1_000) => store.listMessages({ topic, after, limit, now: Date.now() });
  const state = (clientid: string, at: number) => ({ clientid, connected: false, node: 'n', connectedAt: null, disconnectedAt: at, at });
  const position = (consumer: string, topic: string) => ({ consumer, topic, id: newId(), receipts: [`@${DAY_MS}`, newId()], version: 3 });
  /** Entries that are read by what is done meanwhile. */
  const readBy = async (work: () => Promise<unknown>): Promise<number> => {
    const entries = Table.prototype.entries;
    let read = 0;
    const spy = jest.spyOn(Table.prototype, 'entries').mockImplementation(function* (this: Table, range) {
      for (const entry of entries.call(this, range)) {
        read++;
        yield entry;
      }
    });
    await work();
    spy.mockRestore();
    return read;
  };
  const counts = () => Object.fromEntries(TABLES.map((name) => [name, environment.table(`store-${name}`).count]));

  it('finds the oldest message, and reads no tombstone', async () => {
    const now = Date.now();
    expect(await store.oldestMessageAt(now)).toBeNull();
    const all = Array.from({ length: 12_000 }, (_, i) => message({ topic: `old/${i % 7}`, publishReceivedAt: 1_000 + i }));
    await store.saveMessages(all);
    expect(await store.oldestMessageAt(now)).toBe(1_000);
    const left = all.splice(11_990);
    await store.removeMessages(all, now + DAY_MS);
    expect(await store.oldestMessageAt(now)).toBe(12_990);
    expect(await readBy(() => store.oldestMessageAt(now))).toBeLessThanOrEqual(left.length);
    // The tombstone of a message behind the oldest one is not passed.
    await store.removeMessages([left[4]!], now + DAY_MS);
    expect([await store.oldestMessageAt(now), await store.oldestMessageAt(now)]).toEqual([12_990, 12_990]);
    const early = message({ topic: 'old/early', id: newId().replace(/^.{16}/, '0000000000000001'), publishReceivedAt: 7 });
    await store.saveMessages([early]);
    expect(await store.oldestMessageAt(now)).toBe(7);
    await store.removeMessages([early, ...left], now + 1);
    expect(await readBy(async () => expect(await store.oldestMessageAt(now)).toBeNull())).toBe(0);
    await store.purgeExpired(now + 2 * DAY_MS, 100_000);
  });

  it('counts the messages of topics without reading them all', async () => {
    const topics = ['n/1', 'n/2', 'n/3'];
    const saved = topics.flatMap((topic) => Array.from({ length: 200 }, () => message({ topic })));
    await store.saveMessages(saved);
    expect(await readBy(() => store.topicCounts(topics, Date.now()))).toBeLessThanOrEqual(topics.length);
    await store.removeMessages(saved, 0);
  });

  it('leaves no keys behind when everything is removed', async () => {
    const texts = ['a', 'b/c', noise('long/', 65_000)];
    const expiresAt = Date.now() - 1;
    const messages = texts.flatMap((topic) => [
      message({ topic }),
      message({ topic, payload: Buffer.alloc(5_000), expiresAt }),
      message({ topic, expiresAt: Date.now() + DAY_MS }),
    ]);
    const fill = async () => {
      // What is saved late has no group in the index of expiry.
      await store.saveMessages(messages.slice(5));
      await store.saveMessages(messages.slice(0, 5));
      await store.putRetained(messages);
      await store.saveClientStates(texts.map((clientid) => state(clientid, 1_000)));
      await store.putSubscriptions(
        texts.flatMap((clientid) => ['x', ...texts].map((topic) => ({ clientid, topic, qos: 1 as const, seenAt: 1_000 }))),
      );
      await store.putSubscriptions(texts.map((clientid) => ({ clientid, topic: 'x', qos: 2 })));
      await store.putPositions(texts.flatMap((consumer) => texts.map((topic) => position(consumer, topic))));
    };
    await fill();
    // All that is left of long keys are the numbers of their nodes.
    const empty = Object.fromEntries(TABLES.map((name) => [name, LONG_TABLES.includes(name) ? 1 : 0]));
    // The messages are recent, so the index by topic has none of them.
    const { 'expiry-groups': groups, ...filled } = counts();
    expect(groups).toBe(1);
    const empties = ['by-topic', 'topic-counts', 'tombstone-ids', 'tombstones'];
    const others = Object.fromEntries(Object.entries(filled).filter(([name]) => !empties.includes(name)));
    expect(empties.map((name) => filled[name])).toEqual([0, 0, 0, 0]);
    expect(Object.values(others).every((count) => (count ?? 0) > 1)).toBe(true);

    expect(await store.removeMessages(messages.slice(0, 3), Date.now() + 20)).toBe(3);
    expect(await store.trimTopic('b/c', 1)).toBe(2);
    expect(await store.purgeExpired(Date.now() + 1_000, 100)).toEqual({ removed: 1, more: false });
    expect(await store.removeMessages(messages, Date.now() - 1)).toBe(3);
    await store.deleteRetained(messages);
    await store.deleteSubscriptions(texts.map((clientid) => ({ clientid, topic: 'x' })));
    expect(await store.purgeSubscriptions(2_000, 100)).toEqual({ removed: 9, more: false });
    expect(await store.purgeClientStates({ disconnected: 2_000, connected: 0 }, 2)).toEqual({ removed: 2, more: true });
    expect(await store.purgeClientStates({ disconnected: 2_000, connected: 0 }, 2)).toEqual({ removed: 1, more: false });
    await store.putPositions(texts.map((topic) => ({ consumer: 'a', topic, id: '', receipts: [], version: 3 })));
    expect(await store.purgePositions(DAY_MS, 100)).toEqual({ removed: 6, more: false });
    expect(counts()).toEqual(empty);

    await fill();
    expect(await store.trimTopic('a', 0)).toBe(3);
    expect((await list('b/c')).map(({ id }) => id)).toEqual([messages[3]!.id, messages[5]!.id]);
    await store.removeMessages(messages, 0);
    expect(await store.countMessages()).toBe(0);
  });

  it('distinguishes topics and client ids of 65,000 bytes with equal beginnings', async () => {
    const alike = noise('a', 1_000);
    const names = Array.from({ length: 40 }, (_, i) => noise(`${alike}/${i}`, 1_000 + i * 1_640)).sort();
    const messages = names.map((topic) => message({ topic, clientid: topic, username: topic }));
    expect(await store.saveMessages(messages)).toEqual([]);
    await store.putPositions(names.map((name) => position(name, names[0]!)));
    await store.putPositions(names.map((name) => position(names[0]!, name)));
    await store.saveClientStates(names.map((clientid) => state(clientid, Date.now())));
    for (const [i, topic] of names.entries()) {
      expect(await list(topic)).toEqual([messages[i]]);
      expect(await store.getMessage(messages[i]!.id)).toEqual(messages[i]);
      expect(await store.getClientState(topic)).toMatchObject({ clientid: topic });
    }
    const behindTenth = await store.listTopics({ filter: `${names[0]!.slice(0, 1_000)}/+`, after: names[9]!, limit: 10 });
    expect(behindTenth).toEqual(names.slice(10, 20).filter((name) => name.lastIndexOf('/') === 1_000));
    expect((await store.positionsOfTopic(names[0]!)).map(({ consumer }) => consumer)).toEqual(names);
    expect((await store.listPositions(names[0]!, names[9]!, 10)).map(({ topic }) => topic)).toEqual(names.slice(10, 20));
    expect(await store.removeMessages(messages, 0)).toBe(names.length);
  });

  it.each([
    ['empty', 0],
    ['as long as its row allows', 1_150],
    ['longer than its row allows', 1_200],
    ['of 1 MB', 1_048_576],
  ])('keeps a payload that is %s', async (_, length) => {
    const payload = Buffer.alloc(length, createHash('sha512').update('payload').digest());
    const saved = message({
      topic: 'payload',
      payload,
      properties: { userProperties: [{ key: 'a', value: 'ü' }] },
      expiresAt: Date.now() + DAY_MS,
    });
    const expectIt = (found: Message | null | undefined, retain = false) => {
      expect(found?.payload.equals(payload)).toBe(true);
      expect({ ...found, payload: null }).toEqual({ ...saved, retain, payload: null });
    };
    await store.saveMessages([saved]);
    expectIt(await store.getMessage(saved.id));
    expectIt((await list('payload'))[0]);
    await store.putRetained([{ ...saved, retain: true }]);
    expectIt((await store.listRetained({ filter: 'payload', after: '', limit: 10 }))[0], true);
    expect(await store.removeMessages([saved], 0)).toBe(1);
    await store.deleteRetained([saved]);
  });

  it('rejects only an invalid id', async () => {
    const [wrong, empty, right] = [
      message({ topic: 'ids', id: 'x'.repeat(1_025) }),
      message({ topic: 'ids', id: '' }),
      message({ topic: 'ids', id: 'x'.repeat(1_024) }),
    ];
    expect((await store.saveMessages([wrong, empty, right])).map(({ id }) => id)).toEqual([wrong.id, '']);
    expect(await list('ids')).toEqual([right]);
    expect(await list('ids', wrong.id)).toEqual([]);
    expect(await list('ids', 'w'.repeat(70_000))).toEqual([right]);
    expect(await Promise.all([wrong, empty].map(({ id }) => store.getMessage(id)))).toEqual([null, null]);
    expect(await store.removeMessages([wrong, empty, right], 0)).toBe(1);
  });

  it('purges a tombstone only after its latest expiry', async () => {
    const now = Date.now();
    const [longer, again] = [message({ topic: 't' }), message({ topic: 't' })];
    await store.removeMessages([longer, again], now + 30);
    await store.removeMessages([longer], now + 10_000);
    await store.removeMessages([longer], now + 4_000);
    await new Promise((resolve) => setTimeout(resolve, 40));
    await store.saveMessages([longer, again]);
    expect(await store.purgeExpired(now + 5_000, 10)).toEqual({ removed: 0, more: false });
    await store.saveMessages([longer]);
    expect(await list('t')).toEqual([again]);
    await store.purgeExpired(now + 10_000, 10);
    expect(await store.saveMessages([longer])).toEqual([]);
    expect(await list('t')).toEqual([longer, again]);
    expect(counts()).toMatchObject({ log: 2, 'tombstone-ids': 0, tombstones: 0 });
    await store.removeMessages([longer, again], 0);
  });

  // The guard is LENGTH_BYTES: a list contains the length of each id.
  it('keeps and purges tombstones of short and long ids', async () => {
    const now = Date.now();
    const removed = [1, 64, 255, 256, 1_024].map((length) => message({ topic: 'lengths', id: 'y'.repeat(length) }));
    await store.removeMessages(removed, now + 10_000);
    await store.saveMessages(removed);
    expect(await list('lengths')).toEqual([]);
    await store.purgeExpired(now + 10_000, 100);
    expect(counts()).toMatchObject({ 'tombstone-ids': 0, tombstones: 0 });
    await store.saveMessages(removed);
    expect(await list('lengths')).toEqual(removed);
    await store.removeMessages(removed, 0);
  });

  it('saves many large messages once each', async () => {
    const messages = Array.from({ length: 9 }, () => message({ topic: 'great', payload: Buffer.alloc(1_048_576, 'x') }));
    expect(await store.saveMessages([...messages, ...messages])).toEqual([]);
    const refs = await store.listRefs({ topic: 'great', after: '', limit: 100, now: 0 });
    expect(refs.map(({ id }) => id)).toEqual(messages.map(({ id }) => id));
    expect(await store.trimTopic('great', 1)).toBe(8);
    expect(counts()).toMatchObject({ log: 1, bodies: 1 });
    await store.removeMessages(messages, 0);
  });

  it('purges in several steps, up to the limit', async () => {
    await store.saveMessages(Array.from({ length: 2_500 }, () => message({ topic: 'purged', expiresAt: 1_000 })));
    expect(counts()).toMatchObject({ 'expiry-groups': 3, expiry: 0 });
    expect(await store.purgeExpired(999, 2_200)).toEqual({ removed: 0, more: false });
    expect(await store.purgeExpired(1_000, 2_200)).toEqual({ removed: 2_200, more: true });
    expect(await store.purgeExpired(1_000, 2_200)).toEqual({ removed: 300, more: false });
  });

  it('reads only what has expired, and the entry of its group, in order to purge', async () => {
    const now = 1_700_000_000_000;
    const save = (count: number, expiresAt: (i: number) => number | null) =>
      store.saveMessages(Array.from({ length: count }, (_, i) => message({ topic: 'mixed', expiresAt: expiresAt(i) })));
    for (let i = 0; i < 4; i++) await save(256, () => now + 7 * DAY_MS);
    // Two lifetimes side by side, then as many as there are messages: the former are in groups, the latter are not.
    await save(256, (i) => now + (i % 2 === 0 ? 60_000 : 7 * DAY_MS));
    await save(256, (i) => now + i * 1_000);
    expect(counts()).toMatchObject({ 'expiry-groups': 6, expiry: 256 });
    expect(await readBy(() => store.purgeExpired(now - 1, 1_000))).toBe(0);
    // 10 messages of the latter.
    expect(await readBy(() => store.purgeExpired(now + 9_000, 1_000))).toBe(10);
    // A group of 128 among 255 ids and 51 others; the end of the second has not come.
    const purge = async () => expect(await store.purgeExpired(now + 60_000, 1_000)).toEqual({ removed: 128 + 51, more: false });
    expect(await readBy(purge)).toBeLessThanOrEqual(1 + 255 + 51);
    expect(counts()).toMatchObject({ 'expiry-groups': 5, expiry: 256 - 61 });
    expect(await store.trimTopic('mixed', 0)).toBe(6 * 256 - 128 - 61);
    expect(counts()).toMatchObject({ log: 0, 'expiry-groups': 0, expiry: 0 });
  });

  // The guard is SPREAD: in groups each of these messages would be read for each of the 50 seconds.
  it('reads only what has expired where messages of many lifetimes lie between each other', async () => {
    const now = 1_700_000_000_000;
    await store.saveMessages(Array.from({ length: 250 }, (_, i) => message({ topic: 'spread', expiresAt: now + (i % 50) * 1_000 })));
    for (let i = 0; i < 50; i++) {
      const purge = async () => expect((await store.purgeExpired(now + i * 1_000, 1_000)).removed).toBe(5);
      expect(await readBy(purge)).toBe(5);
    }
    expect(counts()).toMatchObject({ log: 0, 'expiry-groups': 0, expiry: 0 });
  });

  // The guard is the look at the number of the group.
  it('counts a message once in the limit of a purge, although its id lies between those of a group', async () => {
    const saved = Array.from({ length: 5 }, () => message({ topic: 'between', expiresAt: 1_000 }));
    await store.saveMessages([saved[0]!, saved[2]!, saved[4]!]);
    await store.saveMessages([saved[1]!, saved[3]!]);
    expect(counts()).toMatchObject({ 'expiry-groups': 1, expiry: 2 });
    expect(await store.purgeExpired(1_000, 4)).toEqual({ removed: 4, more: true });
    expect(await store.purgeExpired(1_000, 4)).toEqual({ removed: 1, more: false });
  });

  // The guards are the limit in Tombstones.purge and LISTED.
  it('purges tombstones in steps, one list of up to 256 after the other', async () => {
    const now = Date.now();
    const removed = Array.from({ length: 1_000 }, () => message({ topic: 'steps' }));
    await store.removeMessages(removed, now + 10_000);
    const left: number[] = [];
    for (let more = true; more; left.push(counts()['tombstone-ids'] ?? 0)) ({ more } = await store.purgeExpired(now + 10_000, 300));
    expect(left).toEqual([744, 488, 232, 0]);
  });

  it('purges no message before its time, although its group has expired in part', async () => {
    const now = 1_700_000_000_000;
    const saved = Array.from({ length: 10 }, (_, i) => message({ topic: 'part', expiresAt: now + i }));
    await store.saveMessages(saved);
    expect(counts()).toMatchObject({ 'expiry-groups': 1, expiry: 0 });
    expect(await store.purgeExpired(now + 4, 3)).toEqual({ removed: 3, more: true });
    expect(await store.purgeExpired(now + 4, 100)).toEqual({ removed: 2, more: false });
    expect(await store.listMessages({ topic: 'part', after: '', limit: 100, now })).toEqual(saved.slice(5));
    // A message that is removed and saved again is not in the group any more.
    const again = saved[7]!;
    await store.removeMessages([again], 0);
    await store.saveMessages([again]);
    expect(counts()).toMatchObject({ 'expiry-groups': 1, expiry: 1 });
    expect(await store.purgeExpired(now + 9, 100)).toEqual({ removed: 5, more: false });
    expect(counts()).toMatchObject({ log: 0, 'expiry-groups': 0, expiry: 0 });
  });

  it('stores what comes in any order once, with and without a greater id before it', async () => {
    const all = Array.from({ length: 40 }, () => message({ topic: 'order', expiresAt: Date.now() + DAY_MS }));
    const [even, odd] = [0, 1].map((rest) => all.filter((_, i) => i % 2 === rest).reverse());
    await store.saveMessages(even!);
    await store.saveMessages([...odd!, ...even!, ...odd!]);
    expect(await list('order')).toEqual(all);
    expect(await store.countMessages()).toBe(40);
    expect(await store.removeMessages(all, 0)).toBe(40);
    expect(counts()).toMatchObject({ log: 0, 'expiry-groups': 0, expiry: 0 });
  });

  it('checks rows again later that it did not purge', async () => {
    await store.saveClientStates([{ ...state('there', 5_000), connected: true }]);
    await store.putSubscriptions([{ clientid: 'there', topic: 't', qos: 2, seenAt: 5_000 }]);
    const purge = async () => {
      await store.purgeSubscriptions(10_000, 10);
      await store.purgeClientStates({ disconnected: 10_000, connected: 0 }, 10);
    };
    expect(await readBy(purge)).toBeGreaterThan(0);
    expect(await readBy(purge)).toBe(0);
    expect(await store.listSubscriptions('there')).toEqual([{ clientid: 'there', topic: 't', qos: 2 }]);
    expect(await store.getClientState('there')).toMatchObject({ connected: true, at: 5_000 });
  });

  describe('with a backlog', () => {
    const many = 100_000;
    beforeAll(async () => {
      for (let i = 0; i < many; i += 5_000) {
        await store.saveMessages(
          Array.from({ length: 5_000 }, (_, n): Message => message({ topic: 'many', id: String(i + n).padStart(32, '0') })),
        );
      }
    }, 120_000);

    it('reads what it returns', async () => {
      const after = String(70_000).padStart(32, '0');
      expect(await readBy(() => list('many', after, 100))).toBe(100);
      expect(await readBy(() => store.listRefs({ topic: 'many', after, limit: 100, now: 0 }))).toBe(100);
      expect(await readBy(() => store.listTopics({ filter: '#', after: '', limit: 100 }))).toBeLessThanOrEqual(2);
      expect(await readBy(() => store.getMessage(after))).toBe(0);
      expect(await readBy(() => store.purgeExpired(Date.now(), 100))).toBe(0);
      // Only keys are read in order to trim, no message.
      expect(await readBy(async () => expect(await store.trimTopic('many', many - 10)).toBe(10))).toBe(0);
      expect(await readBy(() => store.countMessages())).toBe(0);
      expect(await store.countMessages()).toBe(many - 10);
    });

    it('does not block other work while it trims', async () => {
      let turns = 0;
      const timer = setInterval(() => turns++, 0);
      expect(await store.trimTopic('many', 0)).toBe(many - 10);
      clearInterval(timer);
      expect(turns).toBeGreaterThan(20);
      expect(counts()).toMatchObject({ log: 0, 'by-topic': 0, 'topic-names': 0, 'topic-counts': 0 });
    });
  });

  it('keeps everything when the environment is opened again', async () => {
    const saved = message({ topic: 'again', retain: true, expiresAt: Date.now() + 60_000, payload: Buffer.alloc(4_000, 'x') });
    const removed = message({ topic: 'again' });
    await store.saveMessages([saved, removed]);
    await store.removeMessages([removed], Date.now() + 60_000);
    await store.putRetained([saved]);
    await store.putPositions([position('consumer', 'again')]);
    await store.saveClientStates([state('client', 5)]);
    await store.putSubscriptions([{ clientid: 'client', topic: 't', qos: 2 }]);
    const all = async () => ({
      ...{ messages: await list('again'), retained: await store.listRetained({ filter: '#', after: '', limit: 10 }) },
      ...{
        positions: await store.listPositions('consumer', '', 10),
        state: await store.getClientState('client'),
        subscriptions: await store.listSubscriptions('client'),
      },
      tables: counts(),
    });
    const before = await all();
    expect(before.messages).toEqual([saved]);
    await environment.close();
    await open();
    expect(await all()).toEqual(before);
    await store.saveMessages([removed, message({ topic: 'another' })]);
    expect(await list('again')).toEqual([saved]);
  });

  it('can be opened again in the same environment', async () => {
    await store.close();
    expect(await store.health()).toEqual({ ok: false, detail: 'DATA_DIR: the store is closed' });
    store = new EmbeddedStore(environment);
    expect((await store.health()).detail).toBe('embedded (LMDB), format 3');
  });

  it('exports everything page by page', async () => {
    const drain = async <T>(page: (after: Cursor, limit: number) => Promise<Page<T>>): Promise<T[]> => {
      const found: T[] = [];
      for (let after: Cursor = null; ;) {
        const { items, next } = await page(after, 2);
        found.push(...items);
        if (next === null) return found;
        after = next;
      }
    };
    const names = ['$SYS/x', 'a', 'a/b', noise('c', 2_000), 'd'];
    const messages = names.map((topic) => message({ topic, retain: true }));
    const others = {
      positions: [position('c', 'a'), position('c', 'b'), position('d', 'a')],
      states: names.map((clientid) => state(clientid, Date.now())),
    };
    const subscriptions = names.map((topic, i) => ({
      clientid: 'exported',
      topic,
      qos: 1 as const,
      ...(i % 2 === 0 && { seenAt: i + 1 }),
    }));
    await store.saveMessages(messages);
    await store.putRetained(messages);
    await store.putPositions(others.positions);
    await store.saveClientStates(others.states);
    await store.putSubscriptions(subscriptions);
    const exported = store.exportAll();
    expect(await drain((after, limit) => exported.topics(after, limit))).toEqual(expect.arrayContaining(names));
    expect(await drain((after, limit) => exported.retained(after, limit))).toEqual(expect.arrayContaining(messages));
    expect(await drain((after, limit) => exported.positions(after, limit))).toEqual(expect.arrayContaining(others.positions));
    expect(await drain((after, limit) => exported.clientStates(after, limit))).toEqual(expect.arrayContaining(others.states));
    const found = await drain((after, limit) => exported.subscriptions(after, limit));
    expect(found).toEqual(expect.arrayContaining(subscriptions));
    expect(found.filter(({ clientid }) => clientid === 'exported')).toHaveLength(names.length);
  });

  it('names the setting when a later release wrote the data', async () => {
    const meta = environment.table('store-meta');
    const empty = new EmbeddedStore(environment);
    await environment.write(() => meta.remove(Buffer.from('format')));
    expect((await empty.health()).detail).toMatch(/^DATA_DIR: .*run "emqx-offline-store migrate"$/);
    await environment.write(() => meta.put(Buffer.from('format'), numberKey(4)));
    await expect(empty.migrate()).rejects.toThrow(SettingError);
    await expect(empty.migrate()).rejects.toThrow('DATA_DIR: the store has format 4, this release knows 3: upgrade emqx-offline-store');
    expect((await empty.health()).ok).toBe(false);
    await environment.write(() => meta.put(Buffer.from('format'), numberKey(3)));
  });
});
