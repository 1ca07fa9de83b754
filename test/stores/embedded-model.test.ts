import fc from 'fast-check';
import { Environment } from '../../src/embedded/environment';
import { readNumber } from '../../src/embedded/keys';
import type { Message } from '../../src/mqtt/message';
import { EmbeddedStore } from '../../src/stores/embedded';
import { compareText } from '../../src/stores/shared/order';
import { message } from '../support/messages';
import { temporaryDirectory } from '../support/temp';

const NOW = Date.now();
const LATER = [NOW + 1_000_000, NOW + 2_000_000];

const id = fc.constantFrom('a', 'aa', 'b', 'B', 'c', 'd', 'e');
const topic = fc.constantFrom('t', 't/1', 't/2', `t/${'x'.repeat(1_500)}`, `t/${'x'.repeat(1_500)}y`);
const row = fc.record({
  id,
  topic,
  expiresAt: fc.constantFrom(null, 500, ...LATER),
  payload: fc.constantFrom(Buffer.from('x'), Buffer.alloc(3_000, 'y')),
});
const command = fc.oneof(
  fc.record({ do: fc.constant('save' as const), rows: fc.array(row, { maxLength: 4 }) }),
  fc.record({ do: fc.constant('remove' as const), ids: fc.array(id, { maxLength: 3 }), until: fc.constantFrom(0, ...LATER) }),
  fc.record({ do: fc.constant('trim' as const), topic, keep: fc.nat(3) }),
  fc.record({ do: fc.constant('purge' as const), now: fc.constantFrom(499, 500, ...LATER) }),
  fc.record({ do: fc.constant('reopen' as const) }),
);
type Command = typeof command extends fc.Arbitrary<infer T> ? T : never;

/** Messages and tombstones as they should be. */
class Model {
  readonly messages = new Map<string, Message>();
  readonly tombstones = new Map<string, number>();

  run(each: Command): void {
    if (each.do === 'save') each.rows.forEach((fields) => this.save(message(fields)));
    else if (each.do === 'remove') each.ids.forEach((one) => this.remove(one, each.until));
    else if (each.do === 'trim') {
      const ids = this.of(each.topic);
      ids.slice(0, Math.max(0, ids.length - each.keep)).forEach((one) => this.messages.delete(one));
    } else if (each.do === 'purge') {
      for (const [one, { expiresAt }] of this.messages) if (expiresAt !== null && expiresAt <= each.now) this.messages.delete(one);
      for (const [one, until] of this.tombstones) if (until <= each.now) this.tombstones.delete(one);
    }
  }

  private save(saved: Message): void {
    if (!this.messages.has(saved.id) && !this.tombstones.has(saved.id)) this.messages.set(saved.id, saved);
  }

  private remove(one: string, until: number): void {
    this.messages.delete(one);
    if (until > NOW) this.tombstones.set(one, Math.max(until, this.tombstones.get(one) ?? 0));
  }

  of(wanted: string): string[] {
    return [...this.messages.values()]
      .filter((each) => each.topic === wanted)
      .map((each) => each.id)
      .sort(compareText);
  }

  get topics(): string[] {
    return [...new Set([...this.messages.values()].map((each) => each.topic))].sort(compareText);
  }

  count(holds: (each: Message) => boolean): number {
    return [...this.messages.values()].filter(holds).length;
  }
}

describe('the embedded store after any changes', () => {
  const directory = temporaryDirectory();
  let environment: Environment;
  let store: EmbeddedStore;
  /** Some of few messages are in the index by topic, the others are recent. */
  const reopen = () => (store = new EmbeddedStore(environment, { atOnce: 2, kept: 1 }));
  beforeAll(async () => {
    environment = await Environment.open(directory.path);
    reopen();
    await store.migrate();
  });
  afterAll(async () => {
    await environment.close();
    directory.remove();
  });

  const run = async (each: Command): Promise<unknown> => {
    if (each.do === 'save') return store.saveMessages(each.rows.map((fields) => message(fields)));
    if (each.do === 'remove')
      return store.removeMessages(
        each.ids.map((one) => ({ topic: 't', id: one })),
        each.until,
      );
    if (each.do === 'trim') return store.trimTopic(each.topic, each.keep);
    if (each.do === 'purge') return store.purgeExpired(each.now, 100);
    return reopen();
  };
  const count = (name: string) => environment.table(`store-${name}`).count;
  const everything = async () => {
    const topics = await store.listTopics({ filter: '#', after: '', limit: 100 });
    const lists = await Promise.all(topics.map((one) => store.listRefs({ topic: one, after: '', limit: 100, now: 0 })));
    return { topics, ids: lists.map((list) => list.map((ref) => ref.id)) };
  };

  /** Removes everything. @returns the tables that have nothing now. */
  const emptied = async () => {
    await store.purgeExpired(LATER[1]!, 1_000);
    for (const one of (await everything()).topics) await store.trimTopic(one, 0);
    return ['log', 'by-topic', 'tombstone-ids', 'bodies', 'expiry', 'expiry-groups', 'tombstones', 'topic-names', 'topic-counts'];
  };

  it('equals a simple model, with consistent indexes and counts', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 1, maxLength: 25 }), async (commands) => {
        const model = new Model();
        for (const each of commands) {
          await run(each);
          model.run(each);
        }
        expect(await everything()).toEqual({ topics: model.topics, ids: model.topics.map((one) => model.of(one)) });
        expect(['log', 'tombstone-ids', 'bodies', 'topic-names'].map(count)).toEqual([
          model.messages.size,
          model.tombstones.size,
          model.count(({ payload }) => payload.length > 1_000),
          model.topics.length,
        ]);
        const counted = await store.topicCounts(model.topics, 0);
        expect(model.topics.map((one) => counted.get(one)?.messages)).toEqual(model.topics.map((one) => model.of(one).length));
        const indexed = [...environment.table('store-topic-counts').entries()].reduce((sum, { value }) => sum + readNumber(value), 0);
        expect(count('by-topic')).toBe(indexed);
        expect(model.messages.size - indexed).toBeLessThan(3);
        const groups = [...environment.table('store-expiry-groups').entries()];
        const grouped = groups.reduce((sum, { value }) => sum + readNumber(value), 0);
        expect(count('expiry') + grouped).toBe(model.count(({ expiresAt }) => expiresAt !== null));
        for (const name of await emptied()) expect(`${name}: ${count(name)}`).toBe(`${name}: 0`);
      }),
      { numRuns: 300 },
    );
  });
});
