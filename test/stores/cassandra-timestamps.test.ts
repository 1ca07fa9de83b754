import { CassandraStore } from '../../src/stores/cassandra';
import { Database } from '../../src/stores/cassandra/database';
import { Heads } from '../../src/stores/cassandra/head';
import { withBackends } from '../support/backends';
import { dropKeyspace, emptyKeyspace, settingsOf } from '../support/keyspace';
import { message, newId } from '../support/messages';

const KEYSPACE = 'offline_timestamps';
const realNow = Date.now.bind(Date);

/** An id whose time is `ms` before now. */
const idOf = (ms: number): string => (BigInt(realNow() - ms) * 1_000n).toString(16).toUpperCase().padStart(16, '0') + newId().slice(16);
const LATE_MS = 600_000;
const DAY_MS = 86_400_000;

/**
 * What one server does between two steps of another one, whose clock may differ. In Cassandra the write with
 * the greater timestamp wins, so each test has an order of steps in which a wrong timestamp is the greater one.
 */
describe('cassandra timestamps', () => {
  withBackends(['cassandra'], ({ cassandra: server }) => {
    let [url, clock] = ['', 0];
    const stores: CassandraStore[] = [];
    /** A server of its own: the timestamps of one store never go back. */
    const open = (): CassandraStore => {
      const store = new CassandraStore(settingsOf(url));
      stores.push(store);
      return store;
    };
    beforeAll(async () => {
      url = await emptyKeyspace(server, KEYSPACE);
      await open().migrate();
    });
    afterAll(() => dropKeyspace(server, KEYSPACE));
    beforeEach(() => {
      clock = 0;
      jest.spyOn(Date, 'now').mockImplementation(() => realNow() + clock);
    });
    afterEach(async () => {
      jest.restoreAllMocks();
      await Promise.all(stores.splice(0).map((store) => store.close()));
    });

    /** Runs `work` with a clock that differs by `ms` from this machine's. */
    const atClock = async <T>(ms: number, work: () => Promise<T>): Promise<T> => {
      const before = clock;
      clock = ms;
      try {
        return await work();
      } finally {
        clock = before;
      }
    };
    type Step = 'rows' | 'page' | 'write' | 'writeTogether' | 'batchConditionally';
    /** Runs `meanwhile` once, before or after the next step whose statement contains `text`. */
    const atNext = (step: Step, text: string, when: 'before' | 'after', meanwhile: () => Promise<unknown>): void => {
      const original = Database.prototype[step] as (...args: unknown[]) => Promise<unknown>;
      let isFirst = true;
      jest.spyOn(Database.prototype, step as 'rows').mockImplementation(async function (this: Database, ...args: unknown[]) {
        const mine = isFirst && JSON.stringify(args[0]).includes(text);
        if (mine) isFirst = false;
        if (mine && when === 'before') await meanwhile();
        const answer = await original.apply(this, args);
        if (mine && when === 'after') await meanwhile();
        return answer as never;
      });
    };
    const idsOf = async (topic: string) =>
      (await open().listMessages({ topic, after: '', limit: 100, now: Date.now() })).map(({ id }) => id);

    // The guards are SKEW_MS and LANDED_MS in LEAD_MS: 38 s pass between the removal's timestamp and its arrival.
    it('of a removal hide a late message when the clock is 19 s behind and the removal takes 19 s to arrive', async () => {
      const it = message({ topic: 'lead', id: idOf(LATE_MS) });
      atNext('writeTogether', 'mqtt_msg ', 'before', () => atClock(-38_000, () => open().removeMessages([it], realNow() + 900_000)));
      await open().saveMessages([it]);
      expect(await idsOf(it.topic)).toEqual([]);
    });

    // The guards are FRESH_MS, LANDED_MS and SKEW_MS in GUARD_MS. The timestamp is 52 s old when the message arrives.
    it('of a deleted range spare a fresh message of a server whose clock is 19 s behind, and that takes 19 s to arrive', async () => {
      const it = message({ topic: 'guard', id: idOf(38_000 + 14_000) });
      const db = new Database(settingsOf(url));
      atNext('writeTogether', 'mqtt_msg ', 'before', () => atClock(0, () => new Heads(db, undefined, 1).note([it.topic])));
      await atClock(-38_000, () => open().saveMessages([it]));
      await db.close();
      expect(await idsOf(it.topic)).toEqual([it.id]);
    });

    // The guard is the minimum in removalTimestamp.
    it('of the removal of an id of the far future let the message be stored when its tombstone has ended', async () => {
      const it = message({ topic: 'far future', id: idOf(-3_650 * DAY_MS) });
      await open().removeMessages([it], realNow() + 60_000);
      const save = (ms: number) => atClock(ms, async () => (await open().saveMessages([it]), idsOf(it.topic)));
      expect(await save(50_000)).toEqual([]);
      expect(await save(100_000)).toEqual([it.id]);
    });

    // The guard is the timestamp of Tombstones.statement.
    it('of two tombstones keep the longer one, whichever is written last', async () => {
      const all = [message({ topic: 'longest', id: idOf(LATE_MS) }), message({ topic: 'longest', id: idOf(LATE_MS) })];
      const store = open();
      await store.removeMessages([all[0]!], realNow() + 900_000);
      await store.removeMessages(all, realNow() + 5_000);
      await store.removeMessages([all[1]!], realNow() + 900_000);
      await atClock(300_000, () => open().saveMessages(all));
      expect(await atClock(300_000, () => idsOf('longest'))).toEqual([]);
    });

    describe('of a purge', () => {
      const purge = async (ms = 0): Promise<number> => {
        const store = open();
        let removed = 0;
        for (let more = true; more;) {
          const step = await store.purgeExpired(realNow() + ms, 1_000);
          removed += step.removed;
          ({ more } = step);
        }
        return removed;
      };

      // The guard is the timestamp in MessageRemover.erase.
      it('spare a message that was removed and saved again after the purge had read it', async () => {
        const it = message({ topic: 'erase', id: idOf(LATE_MS), expiresAt: realNow() - 1_000 });
        await open().saveMessages([it]);
        atNext('rows', 'writetime(published_at)', 'after', async () => {
          await open().removeMessages([it], realNow() - 1);
          await open().saveMessages([{ ...it, expiresAt: realNow() + 60_000 }]);
        });
        await purge();
        expect(await idsOf(it.topic)).toEqual([it.id]);
      });

      // The guard is the look at expires_at in MessageRemover.expire: the entry of the first save is still there.
      it('spare a message that was saved again with a later expiry', async () => {
        const it = message({ topic: 'later', id: idOf(LATE_MS), expiresAt: realNow() - 1_000 });
        await open().saveMessages([it]);
        await open().removeMessages([it], realNow() - 1);
        await open().saveMessages([{ ...it, expiresAt: realNow() + 60_000 }]);
        expect(await purge()).toBe(0);
        expect(await idsOf(it.topic)).toEqual([it.id]);
        await purge(60_001);
        expect(await open().getMessage(it.id)).toBeNull();
      });

      // The guard is the second condition in ExpiryIndex.enter: the process has entered this bucket before.
      it('find what is saved in a minute whose entries were purged and closed', async () => {
        const saver = open();
        const expiresAt = realNow() + 1_000;
        const save = () => saver.saveMessages([message({ topic: 'closed', id: idOf(LATE_MS), expiresAt })]);
        await save();
        await atClock(780_000, async () => {
          expect(await purge(780_000)).toBe(1);
          await save();
          expect(await purge(780_000)).toBe(1);
        });
      });

      // The guard is CLOSED_AFTER_MS.
      it('find what is entered in a past minute while another server purges', async () => {
        const it = message({ topic: 'entered', id: idOf(LATE_MS), expiresAt: realNow() - 130_000 });
        atNext('write', 'INSERT INTO mqtt_expiry (', 'before', () => purge());
        await open().saveMessages([it]);
        expect(await purge()).toBe(1);
      });

      // The guard is the timestamp in ExpiryIndex.forget: without it the purge finds the same row for ever.
      it('delete entries of a server whose clock is ahead', async () => {
        const it = message({ topic: 'ahead', id: idOf(LATE_MS), expiresAt: realNow() - 1_000 });
        await atClock(3_600_000, () => open().saveMessages([it]));
        const store = open();
        const limit = setTimeout(() => void store.close(), 20_000);
        expect(await store.purgeExpired(realNow(), 1_000)).toEqual({ removed: 1, more: false });
        clearTimeout(limit);
      });
    });

    // The guard is the timestamp in trimTopic: without it the trim finds the same messages for ever.
    it('of a trim delete messages of a server whose clock is ahead', async () => {
      const all = [1, 2, 3].map(() => message({ topic: 'trimmed', id: idOf(LATE_MS) }));
      await atClock(3_600_000, () => open().saveMessages(all));
      const store = open();
      const limit = setTimeout(() => void store.close(), 20_000);
      expect(await store.trimTopic('trimmed', 1)).toBe(2);
      clearTimeout(limit);
      expect(await idsOf('trimmed')).toEqual([all.at(-1)!.id]);
    });

    // The guard is the timestamp of the deletion in TopicIndex.look.
    it('of a deleted entry of a topic spare the entry of a message that is saved meanwhile', async () => {
      const topic = 'entry/a';
      const first = message({ topic });
      await open().saveMessages([first]);
      await open().removeMessages([first], realNow() + 60_000);
      await atClock(700_000, async () => {
        atNext('rows', 'SELECT msgid FROM mqtt_msg WHERE topic = ? LIMIT 1', 'after', () =>
          open().saveMessages([message({ topic, id: idOf(-700_000) })]),
        );
        expect(await open().listTopics({ filter: 'entry/+', after: '', limit: 10 })).toEqual([]);
        expect(await open().listTopics({ filter: 'entry/+', after: '', limit: 10 })).toEqual([topic]);
      });
    });

    // The guard is the condition in RetainedTable.remove.
    it('of a deleted retained message spare a newer one that is put meanwhile', async () => {
      const [old, next] = [1, 2].map((at) => message({ topic: 'retained', retain: true, publishReceivedAt: at }));
      await open().putRetained([old!]);
      atNext('rows', 'FROM retain WHERE topic', 'after', () => open().putRetained([next!]));
      await open().deleteRetained([old!]);
      expect((await open().listRetained({ filter: 'retained', after: '', limit: 1 })).map(({ id }) => id)).toEqual([next!.id]);
    });

    describe('of read positions', () => {
      const position = (topic: string, version: number, seenAt = realNow()) => ({
        ...{ consumer: 'consumer', topic, id: newId(), receipts: [`@${seenAt}`], version },
      });

      // The guards are the timestamps of both deletions in PositionTable.purgePositions.
      it('spare a position that is written while an old one is purged', async () => {
        const [old, next] = [position('purged', 1, 1_000), position('purged', 2)];
        await open().putPositions([old]);
        atNext('page', 'FROM acked', 'after', () => open().putPositions([next]));
        await open().purgePositions(realNow() - DAY_MS, 1_000);
        expect(await open().getPositions('consumer', ['purged'])).toEqual([next]);
        expect(await open().positionsOfTopic('purged')).toEqual([next]);
      });

      // The guard is GUARD_MS in PositionTable.forget: the entry is written before the position.
      it('spare the entry of a position that is being written', async () => {
        const put = position('being written', 1);
        atNext('batchConditionally', 'acked', 'before', async () => expect(await open().positionsOfTopic(put.topic)).toEqual([]));
        await open().putPositions([put]);
        expect(await open().positionsOfTopic(put.topic)).toEqual([put]);
      });

      // The guard is the timestamp of the deletion in PositionTable.forget.
      it('spare the entry of a position that begins again while a reader finds none', async () => {
        const old = position('begins again', 1);
        await open().putPositions([old]);
        await open().putPositions([{ ...old, id: '', receipts: [] }]);
        const next = position(old.topic, 1);
        await atClock(120_000, async () => {
          atNext('rows', 'FROM acked WHERE clientid = ? AND topic = ?', 'after', () => open().putPositions([next]));
          expect(await open().positionsOfTopic(old.topic)).toEqual([]);
          expect(await open().positionsOfTopic(old.topic)).toEqual([next]);
        });
      });
    });
  });
});
