import type { DynamoStore } from '../../src/stores/dynamodb';
import { withBackends } from '../support/backends';
import { message } from '../support/messages';
import { Front } from './dynamodb-front';
import { TestTables } from './dynamodb-tables';

const LARGE = Buffer.alloc(800_000, 1);
const soon = () => Date.now() + 60_000;

/** Two servers work on the same message or topic. One of them stops before each of its requests until the other is done. */
describe('dynamodb with two servers', () => {
  withBackends(['dynamodb'], ({ dynamodb: server }) => {
    const tables = new TestTables(server, `interleaving_${process.pid}_`);
    let front: Front;
    /** `slow` sends its requests through the front; `quick` does all at once. */
    let slow: DynamoStore;
    let quick: DynamoStore;
    beforeAll(async () => {
      front = await Front.to(tables.endpoint);
      [slow, quick] = [tables.open({ endpoint: front.url }), tables.open()];
      await quick.migrate();
    });
    afterAll(async () => {
      await Promise.all([slow.close(), quick.close()]);
      await front.close();
      await tables.drop();
    });
    beforeEach(() => (front.answer = (_, input, forward) => forward(input)));

    /** Calls `work` and runs `meanwhile` before its request number `at`. @returns false if it has no more requests than that. */
    const stoppedAt = async (at: number, work: () => Promise<unknown>, meanwhile: () => Promise<unknown>): Promise<boolean> => {
      let requests = 0;
      let done: Promise<unknown> | null = null;
      front.answer = async (_, input, forward) => {
        if (requests++ === at) done = meanwhile();
        // Requests that are sent together with this one wait as well.
        await done;
        return forward(input);
      };
      await work();
      return done !== null;
    };
    const list = (topic: string) => quick.listMessages({ topic, after: '', limit: 10, now: Date.now() });
    const topics = (filter: string) => quick.listTopics({ filter, after: '', limit: 10 });
    const expectNothingOf = async ({ id, topic }: { id: string; topic: string }) => {
      expect(await quick.getMessage(id)).toBeNull();
      expect(await list(topic)).toEqual([]);
      expect(await topics(topic)).toEqual([]);
      for (const table of ['mqtt_topic_msg', 'mqtt_msg'])
        expect((await tables.items(table)).filter(({ msgid }) => msgid?.S === id)).toEqual([]);
      expect((await tables.items('mqtt_msg_part')).filter(({ owner }) => owner?.S === id)).toEqual([]);
    };

    it('keeps a message away that is acknowledged before any request of its save (promises 2 and 3)', async () => {
      let steps = 0;
      for (let more = true; more; steps++) {
        const saved = message({ topic: `save/${steps}`, payload: LARGE });
        more = await stoppedAt(
          steps,
          () => slow.saveMessages([saved]),
          () => quick.removeMessages([saved], soon()),
        );
        if (!more) await quick.removeMessages([saved], soon());
        await quick.saveMessages([saved]);
        await expectNothingOf(saved);
      }
      expect(steps).toBeGreaterThan(5);
    });

    it('keeps a message away that is saved, or saved again, before any request of its removal (promises 2 and 3)', async () => {
      for (const isStored of [false, true]) {
        let steps = 0;
        for (let more = true; more; steps++) {
          const saved = message({ topic: `removal/${isStored}/${steps}`, payload: LARGE });
          if (isStored) await quick.saveMessages([saved]);
          more = await stoppedAt(
            steps,
            () => slow.removeMessages([saved], soon()),
            () => quick.saveMessages([saved]),
          );
          await quick.saveMessages([saved]);
          await expectNothingOf(saved);
        }
        expect(steps).toBeGreaterThan(4);
      }
    });

    // The guard is clear(): the repeated save finds the tombstone first.
    it('keeps a message away that is acknowledged during a save whose process dies (promises 2 and 3)', async () => {
      let dies = 1;
      for (let hasDied = true; hasDied; dies++) {
        hasDied = false;
        for (let acked = 0; acked < dies; acked++) {
          const saved = message({ topic: `died/${dies}/${acked}`, payload: LARGE });
          let requests = 0;
          let removal: Promise<unknown> | null = null;
          let isDead = false;
          front.answer = async (_, input, forward) => {
            const at = requests++;
            if (at === acked) removal = quick.removeMessages([saved], soon());
            await removal;
            isDead ||= at >= dies;
            if (isDead) throw new Error('the process died');
            return forward(input);
          };
          await slow.saveMessages([saved]).catch(() => undefined);
          // It had fewer requests than that.
          if (removal === null) await quick.removeMessages([saved], soon());
          await quick.saveMessages([saved]);
          await expectNothingOf(saved);
          hasDied ||= isDead;
        }
      }
      expect(dies).toBeGreaterThan(6);
    }, 120_000);

    it('does not show an acknowledged message for a moment while its publish event comes once more', async () => {
      const removed = message({ topic: 'again' });
      await quick.saveMessages([removed]);
      await quick.removeMessages([removed], soon());
      const seen: unknown[] = [];
      front.answer = async (_, input, forward) => {
        const output = await forward(input);
        seen.push(...(await list('again')), await quick.getMessage(removed.id));
        return output;
      };
      await slow.saveMessages([removed]);
      expect(seen.length).toBeGreaterThan(0);
      expect(seen.filter((each) => each !== null)).toEqual([]);
    });

    const placesOf = async (id: string) => {
      const places = ['mqtt_msg', 'mqtt_topic_msg'].map(async (table) => (await tables.items(table)).some(({ msgid }) => msgid?.S === id));
      return Promise.all(places);
    };

    // The guard is the age in isOld(): a message without its entry would be found by no topic and no purge.
    it('leaves no message without its entry when a topic is trimmed before any request of the save of an old message', async () => {
      let steps = 0;
      for (let more = true; more; steps++) {
        const topic = `trim/${steps}`;
        const [old, ...newer] = [1, 2, 3].map(() => message({ topic }));
        await quick.saveMessages(newer);
        more = await stoppedAt(
          steps,
          () => slow.saveMessages([old!]),
          () => quick.trimTopic(topic, 2),
        );
        const [isStored, isEntered] = await placesOf(old!.id);
        expect(isStored).toBe(isEntered);
        await quick.trimTopic(topic, 2);
        expect(await list(topic)).toEqual(newer);
        expect(await placesOf(old!.id)).toEqual([false, false]);
      }
      expect(steps).toBeGreaterThan(4);
    });

    // The guard is the time in saveMessages(): a purge takes the entry of a message that expired long ago for one that was left behind.
    it('leaves nothing of a message that has expired long before it is saved, with a purge before any request of its save', async () => {
      let steps = 0;
      for (let more = true; more; steps++) {
        const topic = `expired/${steps}`;
        const [late, next] = [message({ topic, expiresAt: Date.now() - 7_200_000 }), message({ topic })];
        more = await stoppedAt(
          steps,
          () => slow.saveMessages([late, next]),
          () => quick.purgeExpired(Date.now(), 100),
        );
        await quick.purgeExpired(Date.now(), 100);
        expect(await placesOf(late.id)).toEqual([false, false]);
        expect(await list(topic)).toEqual([next]);
      }
      expect(steps).toBeGreaterThan(4);
    });

    // The witness of MessageTopics is the first message, which `slow` has saved.
    it('lists a topic although its first message is removed before any request of the next save', async () => {
      let steps = 0;
      for (let more = true; more; steps++) {
        const [first, next] = [message({ topic: `witness/${steps}` }), message({ topic: `witness/${steps}` })];
        await slow.saveMessages([first]);
        more = await stoppedAt(
          steps,
          () => slow.saveMessages([next]),
          () => quick.removeMessages([first], soon()),
        );
        expect(await topics(next.topic)).toEqual([next.topic]);
        expect((await list(next.topic)).map(({ id }) => id)).toEqual(more ? [next.id] : [first.id, next.id]);
        await quick.removeMessages([first, next], soon());
        expect(await topics(next.topic)).toEqual([]);
      }
      expect(steps).toBeGreaterThan(5);
    });

    it('forgets a topic whose last two messages are removed by two servers at once', async () => {
      let steps = 0;
      for (let more = true; more; steps++) {
        const [first, next] = [message({ topic: `last/${steps}` }), message({ topic: `last/${steps}` })];
        await slow.saveMessages([first, next]);
        more = await stoppedAt(
          steps,
          () => slow.removeMessages([next], soon()),
          () => quick.removeMessages([first], soon()),
        );
        if (!more) await quick.removeMessages([first], soon());
        expect(await topics(next.topic)).toEqual([]);
      }
      expect(steps).toBeGreaterThan(4);
    });

    it('lists a topic whose last message is removed while the next one is saved before any request of the removal', async () => {
      let steps = 0;
      for (let more = true; more; steps++) {
        const [old, next] = [message({ topic: `swap/${steps}` }), message({ topic: `swap/${steps}` })];
        await quick.saveMessages([old]);
        more = await stoppedAt(
          steps,
          () => slow.removeMessages([old], soon()),
          () => quick.saveMessages([next]),
        );
        expect(await topics(next.topic)).toEqual(more ? [next.topic] : []);
        await slow.removeMessages([next], soon());
        expect(await topics(next.topic)).toEqual([]);
      }
      expect(steps).toBeGreaterThan(7);
    });
  });
});
