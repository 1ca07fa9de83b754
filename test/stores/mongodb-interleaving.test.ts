import { parseServiceUrl } from '../../src/config/url';
import { RetryableError } from '../../src/base/errors';
import type { Message } from '../../src/mqtt/message';
import { Database } from '../../src/stores/mongodb/database';
import { MessageCollection } from '../../src/stores/mongodb/messages';
import { settingsOf } from '../../src/stores/mongodb/settings';
import { Tombstones } from '../../src/stores/mongodb/tombstones';
import { MongoStandin } from '../standin/mongodb/server';
import { withBackends } from '../support/backends';
import { message } from '../support/messages';
import { emptyMongo, mongoStore } from '../support/mongo';
import { ordersOf, Steps } from './mongodb-steps';

const SAVE_STEPS = 4;
const SAVE_TWICE_STEPS = 6;
const REMOVE_STEPS = 2;
const soon = () => Date.now() + 60_000;

/** Promises 2 and 3 in every order of the commands of two processes that save and remove one message at the same time. */
describe('mongodb, commands of two processes in every order', () => {
  withBackends(['mongodb'], ({ mongodb }) => interleaving('on the real server', () => emptyMongo(mongodb, 'offline_interleaving')));

  const standin = MongoStandin.start();
  afterAll(async () => (await standin).close());
  interleaving('on the stand-in', async () => (await standin).url('interleaving'));
});

function interleaving(title: string, emptyDatabase: () => Promise<string>): void {
  describe(title, () => {
    let db: Database;
    let all: MessageCollection;
    beforeAll(async () => {
      const url = await emptyDatabase();
      const store = mongoStore(url);
      await store.migrate();
      await store.close();
      const parsed = parseServiceUrl(url, ['mongodb']);
      db = new Database(settingsOf(parsed), parsed.path);
      all = new MessageCollection(db);
    });
    afterAll(() => db.close());

    /**
     * `order` has an S for each command of the save and an R for each of the removal.
     * @param seen is told after each command whether the message is stored.
     */
    async function run(order: string, save: (steps: Steps) => Promise<unknown>, removed: Message, seen: (isStored: boolean) => void) {
      const [saver, remover] = [new Steps(db, { afterBulk: afterBulkOnce(save) }), new Steps(db)];
      const work = [save(saver), new MessageCollection(remover.db).removeMessages([removed], soon())];
      for (const each of order) {
        await (each === 'S' ? saver : remover).step();
        seen((await all.getMessage(removed.id)) !== null);
      }
      await Promise.all([saver.toTheEnd(), remover.toTheEnd()]);
      await Promise.all(work);
    }

    const failing = new WeakSet<object>();
    const afterBulkOnce = (save: object) => () => {
      if (failing.delete(save)) throw new RetryableError('the connection was lost after the write');
    };

    /** @returns whether the message was stored, after each command. */
    async function saveAndRemove(order: string, removed: Message): Promise<boolean[]> {
      const states: boolean[] = [];
      const save = ({ db }: Steps) => new MessageCollection(db).saveMessages([removed]);
      await run(order, save, removed, (isStored) => states.push(isStored));
      return states;
    }

    async function expectRemoved(removed: Message) {
      expect(await all.getMessage(removed.id)).toBeNull();
      await all.saveMessages([removed]);
      expect(await all.getMessage(removed.id)).toBeNull();
    }

    it.each(ordersOf(SAVE_STEPS, REMOVE_STEPS))('%s: a removed message stays removed', async (order) => {
      const removed = message({ topic: 'interleaving' });
      const states = await saveAndRemove(order, removed);
      await expectRemoved(removed);
      // The tombstone was there before the save began, so readers never see the message.
      if (order.startsWith('R')) expect(states).not.toContain(true);
    });

    it.each(ordersOf(SAVE_STEPS, REMOVE_STEPS))('%s: a stored message that is published again stays removed', async (order) => {
      const removed = message({ topic: 'interleaving' });
      await all.saveMessages([removed]);
      const states = await saveAndRemove(order, removed);
      await expectRemoved(removed);
      if (order.startsWith('R')) expect(states.slice(order.lastIndexOf('R'))).not.toContain(true);
    });

    it.each(ordersOf(SAVE_TWICE_STEPS, REMOVE_STEPS))('%s: a save that loses its connection after the write is repeated', async (order) => {
      const removed = message({ topic: 'interleaving' });
      let attempts = 0;
      const save = async ({ db }: Steps) => {
        const messages = new MessageCollection(db);
        for (attempts = 1; ; attempts++) {
          try {
            return await messages.saveMessages([removed]);
          } catch (error) {
            expect(error).toBeInstanceOf(RetryableError);
          }
        }
      };
      failing.add(save);
      await run(order, save, removed, () => undefined);
      // A removal that came before the save leaves nothing to write, so nothing fails.
      expect(attempts).toBe(order.startsWith('R') ? 1 : 2);
      await expectRemoved(removed);
    });

    it.each(ordersOf(3, 3))('%s: a tombstone that is extended while it is purged holds', async (order) => {
      const removed = message({ topic: 'interleaving' });
      const now = Date.now();
      await new Tombstones(db).put([removed.id], now - 1);
      const [extender, purger] = [new Steps(db), new Steps(db)];
      const work = [new Tombstones(extender.db).put([removed.id], soon()), new MessageCollection(purger.db).purgeExpired(now, 100)];
      for (const each of order) await (each === 'S' ? extender : purger).step();
      await Promise.all([extender.toTheEnd(), purger.toTheEnd()]);
      await Promise.all(work);
      await expectRemoved(removed);
    });
  });
}
