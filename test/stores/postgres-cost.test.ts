import { Client } from 'pg';
import { PostgresStore } from '../../src/stores/postgres';
import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { hashed, message } from '../support/messages';

const BATCH = 256;
const MEGABYTE = 1_048_576;

/** What a batch sends to the database. */
describe('postgres cost', () => {
  withBackends(['postgres'], ({ postgres: server }) => {
    let store: PostgresStore;
    beforeAll(async () => {
      store = new PostgresStore({ connectionString: await emptyDatabase(server, 'offline_cost') });
      await store.migrate();
    });
    afterAll(() => store.close());
    afterEach(() => jest.restoreAllMocks());

    /** Counts the statements from now on. */
    const counter = () => {
      const spy = jest.spyOn(Client.prototype, 'query');
      return () => spy.mock.calls.length;
    };

    it.each([1, 100, BATCH])('is one statement for a batch to %i topics, and one for its removal', async (topics) => {
      const batch = Array.from({ length: BATCH }, (_, i) => message({ topic: `cost/${topics}/${i % topics}` }));
      const sent = counter();
      expect(await store.saveMessages(batch)).toEqual([]);
      expect(sent()).toBe(1);
      expect(await store.removeMessages(batch, Date.now() + 60_000)).toBe(BATCH);
      expect(sent()).toBe(2);
    });

    it('is one statement for each 4 MB of large payloads', async () => {
      const payload = Buffer.alloc(MEGABYTE, 0xfe);
      const huge = message({ topic: 'large', payload: Buffer.alloc(9 * MEGABYTE, 'x') });
      const batch = [...Array.from({ length: 9 }, () => message({ topic: 'large', payload })), huge];
      const sent = counter();
      expect(await store.saveMessages(batch)).toEqual([]);
      // Three of 1 MB fit with their topics, so that there are three batches, and the huge message is the fourth.
      expect(sent()).toBe(4);
      for (const saved of batch) expect(hashed((await store.getMessage(saved.id))!)).toEqual(hashed(saved));
      const before = sent();
      expect(await store.removeMessages(batch, Date.now() + 60_000)).toBe(10);
      expect(sent()).toBe(before + 1);
    });
  });
});
