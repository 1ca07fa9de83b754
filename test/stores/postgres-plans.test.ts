import { Client } from 'pg';
import { PostgresStore } from '../../src/stores/postgres';
import type { Store } from '../../src/stores/store';
import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { message } from '../support/messages';
import { explained, EXPLAINING } from './explained';

const ROWS = 100_000;
const NOW = 1_800_000_000_000;

/**
 * A fetch reads about what it returns, not the backlog: with statistics and without them, which is how the embedded database
 * lives. A tenth of the rows are of one topic, behind all others: the planner's favourite trap is to walk there.
 */
const FILL = `
  INSERT INTO mqtt_msg (msgid, sender, topic, qos, retain, payload, arrived, published_at, expires_at)
    SELECT lpad(to_hex(i), 32, '0'), 'p', CASE WHEN i > ${ROWS * 0.9} THEN 'big' ELSE 'dev/' || i % 1000 END, 1, 0, 'x', now(), i, ${NOW} + i
    FROM generate_series(1, ${ROWS}) AS i;
  INSERT INTO mqtt_retain (topic, msgid, payload) SELECT 'dev/' || i || '/up', 'A', 'x' FROM generate_series(1, ${ROWS}) AS i;
  INSERT INTO mqtt_acked (clientid, topic, msgid, seen_at) SELECT 'consumer', 'dev/' || i, 'A', ${NOW} + i FROM generate_series(1, 20000) AS i;
  INSERT INTO mqtt_client (clientid, state, changed_at, seen_at) SELECT 'c' || i, i % 2, ${NOW} + i, ${NOW} + i FROM generate_series(1, 20000) AS i;
  INSERT INTO mqtt_sub (clientid, topic, qos, seen_at) SELECT 'c' || i, 'dev/' || i, 1, ${NOW} + i FROM generate_series(1, 20000) AS i;
  INSERT INTO mqtt_tombstone SELECT 'T' || i, ${NOW} + i FROM generate_series(1, ${ROWS}) AS i`;

async function purgeUnseen(store: Store, before: number, limit: number): Promise<void> {
  await store.purgePositions(before, limit);
  await store.purgeSubscriptions(before, limit);
  await store.purgeClientStates({ disconnected: before, connected: before }, limit);
}

/** A connection keeps the plans of the procedures' statements. It makes those that it keeps here, where nothing is stored. */
async function useEmpty(store: Store): Promise<void> {
  for (let i = 0; i < 10; i++) {
    const saved = message({ topic: 'early' });
    await store.saveMessages([saved]);
    await store.removeMessages([saved], 1);
    await store.purgeExpired(NOW, 10);
  }
}

describe('postgres plans', () => {
  withBackends(['postgres'], ({ postgres: server }) => {
    describe.each(['without statistics', 'with statistics', 'with statistics of empty tables'])('%s', (statistics) => {
      let store: Store;
      let client: Client;
      beforeAll(async () => {
        const url = await emptyDatabase(server, 'offline_plans');
        store = new PostgresStore({ connectionString: url, options: EXPLAINING });
        await store.migrate();
        client = new Client({ connectionString: url });
        await client.connect();
        for (const table of ['mqtt_msg', 'mqtt_retain', 'mqtt_acked', 'mqtt_client', 'mqtt_sub', 'mqtt_tombstone']) {
          await client.query(`ALTER TABLE ${table} SET (autovacuum_enabled = false)`);
        }
        // The embedded database is vacuumed every minute, often when nothing is stored.
        if (statistics === 'with statistics of empty tables') await client.query('VACUUM ANALYZE');
        await useEmpty(store);
        await client.query(FILL);
        if (statistics === 'with statistics') await client.query('ANALYZE');
      }, 120_000);
      afterAll(async () => {
        await client.end();
        await store.close();
      });

      const page = { after: '', limit: 100 };
      const topics = Array.from({ length: 50 }, (_, i) => `dev/${i}`);
      const refs = Array.from({ length: 50 }, (_, i) => ({ topic: 'big', id: (i + 1).toString(16).padStart(32, '0') }));
      it.each<[string, number, (store: Store) => Promise<unknown>]>([
        ['100 messages of a topic of 10,000', 100, (of) => of.listMessages({ ...page, topic: 'big', now: NOW })],
        [
          'messages of 32 topics of 90 at once',
          32 * 90,
          (of) => Promise.all(topics.slice(0, 32).map((topic) => of.listMessages({ ...page, topic, now: NOW }))),
        ],
        ['100 messages of a topic of 90', 90, (of) => of.listMessages({ ...page, topic: 'dev/7', now: NOW })],
        ['100 ids of a topic of 10,000', 100, (of) => of.listRefs({ ...page, topic: 'big', now: NOW })],
        // Counted up to MOST_COUNTED, 10,000, and the first message of each.
        ['the sizes of 3 topics of 10,000 and 100', 10_000 + 200 + 3, (of) => of.topicCounts(['big', 'dev/7', 'dev/8', 'none'], NOW)],
        ['the time of the oldest message', 100, (of) => of.oldestMessageAt(NOW)],
        ['messages of a topic without any', 0, (of) => of.listMessages({ ...page, topic: 'none', now: NOW })],
        ['100 of 1,001 topics', 260, (of) => of.listTopics({ ...page, filter: '#' })],
        ['one topic', 1, (of) => of.listTopics({ ...page, filter: 'big' })],
        ['topics below one', 4, (of) => of.listTopics({ ...page, filter: 'dev/7/#' })],
        ['topics below one with many that look alike', 4, (of) => of.listTopics({ ...page, filter: 'de/#' })],
        ['a retained message', 2, (of) => of.listRetained({ ...page, filter: 'dev/7/up' })],
        ['100 of 100,000 retained messages', 360, (of) => of.listRetained({ ...page, filter: 'dev/+/up' })],
        ['retained messages below a topic', 4, (of) => of.listRetained({ ...page, filter: 'dev/7/#' })],
        ['50 of 20,000 positions', 50, (of) => of.getPositions('consumer', topics)],
        // Each id is looked for among the tombstones before and after the insert.
        ['50 to save', 0, (of) => of.saveMessages(topics.map((topic) => message({ topic })))],
        ['50 that are stored to save again', 0, (of) => of.saveMessages(refs.map((ref) => message(ref)))],
        ['50 to remove', 50, (of) => of.removeMessages(refs, 2 * NOW)],
        ['50 removed ones to save', 100, (of) => of.saveMessages(refs.map((ref) => message(ref)))],
        ['nothing to purge', 0, (of) => of.purgeExpired(NOW, 1_000)],
        ['10 to purge', 40, (of) => of.purgeExpired(NOW + 10, 10)],
        ['no positions, subscriptions and states to purge', 0, (of) => purgeUnseen(of, NOW, 1_000)],
        // Each row is found and deleted, and the rows of its client are looked at.
        ['10 of each to purge', 200, (of) => purgeUnseen(of, NOW + 20, 10)],
      ])('%s: %i rows', async (_, most, call) => {
        const read = await explained(() => call(store));
        expect(read).toBeLessThanOrEqual(most);
      });
    });
  });
});
