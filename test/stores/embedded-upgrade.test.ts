import { Environment } from '../../src/embedded/environment';
import { keyOf, numberKey } from '../../src/embedded/keys';
import type { Message } from '../../src/mqtt/message';
import { EmbeddedStore } from '../../src/stores/embedded';
import { toBytes } from '../../src/stores/embedded/rows';
import { message } from '../support/messages';
import { temporaryDirectory } from '../support/temp';

const MANY = 2_500;
const HOUR_MS = 3_600_000;
const NOTHING = Buffer.alloc(0);
const MOVE = 'bring messages and tombstones to format 3';

/**
 * Writes what format 1 had: an entry in the index of expiry for each message that expires, and for each tombstone. Or
 * what format 2 had: the messages that expire in groups by the second, and the tombstones in a list.
 */
class OldFormat {
  private readonly topics: string[] = [];
  private readonly groups = new Map<number, { readonly number: number; readonly ids: Buffer[] }>();

  constructor(
    private readonly environment: Environment,
    private readonly format: 1 | 2,
  ) {}

  private put(table: string, key: Buffer, value: Buffer): void {
    this.environment.table(`store-${table}`).put(key, value);
  }

  write(messages: readonly Message[], removed: readonly { readonly id: string; readonly until: number }[]): Promise<void> {
    return this.environment.write(() => {
      for (const each of messages) this.message(each);
      for (const [i, topic] of this.topics.entries()) {
        const number = numberKey(i + 1);
        this.environment.longTable('store-topics').put(Buffer.from(topic), number);
        this.put('topic-names', number, Buffer.from(topic));
        this.put('topic-counts', number, numberKey(messages.filter((each) => each.topic === topic).length));
      }
      for (const { id, until } of removed) {
        this.put('ids', Buffer.from(id), Buffer.concat([Buffer.from([0]), numberKey(until)]));
        const single = Buffer.concat([Buffer.from([1]), numberKey(until), Buffer.from(id)]);
        if (this.format === 1) this.put('expiry', single, NOTHING);
        else this.put('tombstones', keyOf(until, Buffer.from(id)), Buffer.concat([Buffer.from([0, id.length]), Buffer.from(id)]));
      }
      for (const [second, { number, ids }] of this.groups) {
        const [first, last] = [ids[0]!, ids.at(-1)!];
        this.put('expiry-groups', keyOf(second, number), keyOf(ids.length, first.length, first, last));
      }
      this.put('meta', Buffer.from('format'), numberKey(this.format));
      this.put('meta', Buffer.from('last-number'), numberKey(1_000));
    });
  }

  private message(each: Message): void {
    if (!this.topics.includes(each.topic)) this.topics.push(each.topic);
    const topic = this.topics.indexOf(each.topic) + 1;
    const [id, bytes] = [Buffer.from(each.id), toBytes(each)];
    const key = keyOf(topic, id);
    const hasBody = bytes.length > 1_200;
    this.put('messages', key, hasBody ? bytes.subarray(0, 16) : bytes);
    if (hasBody) this.put('bodies', key, bytes.subarray(16));
    const flags = hasBody ? 1 | 2 : 1;
    if (each.expiresAt === null) this.put('ids', id, keyOf(Buffer.from([flags]), topic));
    else if (this.format === 1) {
      this.put('ids', id, keyOf(Buffer.from([flags | 4]), topic, each.expiresAt));
      this.put('expiry', Buffer.concat([Buffer.from([0]), numberKey(each.expiresAt), key]), NOTHING);
    } else this.put('ids', id, keyOf(Buffer.from([flags | 4 | 8]), topic, each.expiresAt, this.groupOf(each.expiresAt, id)));
  }

  private groupOf(expires: number, id: Buffer): number {
    const second = Math.floor(expires / 1_000);
    let group = this.groups.get(second);
    if (group === undefined) this.groups.set(second, (group = { number: 500 + this.groups.size, ids: [] }));
    group.ids.push(id);
    return group.number;
  }
}

/** Dies instead of beginning its transaction number `last + 1`. */
async function migrateUntil(environment: Environment, last: number): Promise<void> {
  const write = environment.write.bind(environment);
  let writes = 0;
  const dying = jest.spyOn(environment, 'write').mockImplementation((work) => {
    if (++writes > last) throw new Error('the process has died');
    return write(work);
  });
  await expect(new EmbeddedStore(environment).migrate()).rejects.toThrow('the process has died');
  dying.mockRestore();
}

describe('an embedded store of an earlier format', () => {
  const directory = temporaryDirectory();
  let environment: Environment;
  beforeEach(async () => {
    environment = await Environment.open(directory.path);
  });
  afterEach(async () => {
    await environment.close();
    directory.remove();
  });

  const now = Date.now();
  const list = (store: EmbeddedStore, topic: string) => store.listMessages({ topic, after: '', limit: 10_000, now });
  const count = (name: string) => environment.table(`store-${name}`).count;
  const expectNothing = () => {
    const tables = [
      ...['messages', 'ids', 'log', 'by-topic', 'bodies', 'tombstone-ids', 'tombstones', 'expiry', 'expiry-groups'],
      ...['topic-names', 'topic-counts'],
    ];
    expect(tables.map((name) => [name, count(name)])).toEqual(tables.map((name) => [name, 0]));
  };

  it('of format 1 keeps its messages, tombstones and expiry, and is emptied completely', async () => {
    const kept = ['a', 'b'].flatMap((topic) => [message({ topic }), message({ topic, expiresAt: now + HOUR_MS })]);
    const expiring = Array.from({ length: MANY }, () => message({ topic: 'a', expiresAt: now + 1_000 }));
    const removed = Array.from({ length: MANY }, (_, i) => message({ topic: 'b', expiresAt: now + HOUR_MS + i }));
    const until = (i: number) => now + (i % 2 === 0 ? 2_000 : 2 * HOUR_MS);
    await new OldFormat(environment, 1).write(
      [...kept, ...expiring],
      removed.map(({ id }, i) => ({ id, until: until(i) })),
    );

    const store = new EmbeddedStore(environment);
    // A store that is read before the upgrade must not go on with what it knows.
    expect(await list(store, 'a')).toEqual([]);
    expect(await store.health()).toMatchObject({ ok: false, detail: expect.stringMatching(/format 1: run "emqx-offline-store migrate"$/) });
    expect((await store.migrationPlan()).pending).toEqual(['list the tombstones', MOVE]);
    await migrateUntil(environment, 1);
    expect(count('expiry')).toBe(2 + 2 * MANY - 1_000);

    await store.migrate();
    await store.migrate();
    expect(await store.health()).toMatchObject({ ok: true });
    expect((await store.migrationPlan()).pending).toEqual([]);
    expect(count('expiry')).toBe(2 + MANY);

    // Everything is delivered in order, and no tombstone is lost.
    expect(await list(store, 'a')).toEqual([...kept.slice(0, 2), ...expiring]);
    await store.saveMessages([...removed, ...kept]);
    expect(await list(store, 'b')).toEqual(kept.slice(2));

    // The tombstones and messages that expire are purged; the others stay.
    let purged = 0;
    for (let more = true; more;) {
      const step = await store.purgeExpired(now + 2_000, 1_000);
      purged += step.removed;
      ({ more } = step);
    }
    expect(purged).toBe(MANY);
    expect([count('log'), count('tombstone-ids')]).toEqual([kept.length, MANY / 2]);
    const fresh = [message({ topic: 'b', expiresAt: now + HOUR_MS }), message({ topic: 'b', expiresAt: now + HOUR_MS })];
    await store.saveMessages([...removed, ...fresh]);
    const back = removed.filter((_, i) => i % 2 === 0);
    expect((await list(store, 'b')).map(({ id }) => id)).toEqual([...kept.slice(2), ...back, ...fresh].map(({ id }) => id).sort());

    // Nothing is left behind when all is removed, whichever format wrote it.
    expect(await store.removeMessages([...kept, ...removed, ...fresh], now)).toBe(kept.length + back.length + fresh.length);
    for (let more = true; more;) ({ more } = await store.purgeExpired(now + 3 * HOUR_MS, 1_000));
    expectNothing();
  });

  it('of format 2 is moved in several transactions, and an earlier release refuses it from the first one on', async () => {
    const large = Buffer.alloc(3_000, 'x');
    const all = Array.from({ length: MANY }, (_, i) =>
      message({
        topic: `t/${i % 3}`,
        expiresAt: i % 5 === 0 ? null : now + (1 + (i % 7)) * HOUR_MS,
        ...(i % 50 === 0 && { payload: large }),
      }),
    );
    const removed = Array.from({ length: 10 }, () => message({ topic: 't/0' }));
    const saved = all.filter((_, i) => i % 100 !== 99);
    const late = all.filter((_, i) => i % 100 === 99);
    await new OldFormat(environment, 2).write(
      saved,
      removed.map(({ id }) => ({ id, until: now + HOUR_MS })),
    );
    const plan = async () => (await new EmbeddedStore(environment).migrationPlan()).pending;
    const format = () => environment.table('store-meta').get(Buffer.from('format'));
    expect(await plan()).toEqual([MOVE]);
    // The transactions: no tombstones to list, the new format, 1,000 messages each.
    await migrateUntil(environment, 1);
    expect(format()).toEqual(numberKey(2));
    await migrateUntil(environment, 3);
    expect([format(), count('ids'), count('log')]).toEqual([numberKey(3), saved.length + 10 - 1_000, 1_000]);
    expect(await plan()).toEqual([MOVE]);
    const detail = expect.stringMatching(/not brought to format 3 completely: run "emqx-offline-store migrate"$/);
    expect(await new EmbeddedStore(environment).health()).toMatchObject({ ok: false, detail });
    await migrateUntil(environment, 1);

    const store = new EmbeddedStore(environment);
    await store.migrate();
    expect(await plan()).toEqual([]);
    expect(await store.health()).toMatchObject({ ok: true });
    expect([count('ids'), count('messages'), count('log'), count('by-topic')]).toEqual([0, 0, saved.length, saved.length]);
    const of = (messages: readonly Message[], topic: string) => messages.filter((each) => each.topic === topic);
    for (const topic of ['t/0', 't/1', 't/2']) expect(await list(store, topic)).toEqual(of(saved, topic));
    expect((await store.topicCounts(['t/1'], now)).get('t/1')?.messages).toBe(of(saved, 't/1').length);

    // What comes late finds its place among what has been moved, and the tombstones hold.
    await store.saveMessages([...late, ...removed, ...saved]);
    for (const topic of ['t/0', 't/1', 't/2']) expect(await list(store, topic)).toEqual(of(all, topic));
    expect((await store.purgeExpired(now + 10 * HOUR_MS, 10_000)).removed).toBe(all.filter(({ expiresAt }) => expiresAt !== null).length);
    expect(await store.removeMessages(all, 0)).toBe(all.filter(({ expiresAt }) => expiresAt === null).length);
    expectNothing();
  });
});
