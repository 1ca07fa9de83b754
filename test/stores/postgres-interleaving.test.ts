import { Client } from 'pg';
import { PostgresStore } from '../../src/stores/postgres';
import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { message } from '../support/messages';
import { waitFor } from '../support/wait';

const LOCK = 4_711;
const HOUR_MS = 3_600_000;

/** A row whose id ends in "-pause" stops its statement, in the middle of its transaction, until the test lets it go on. */
const PAUSES = `
  CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF coalesce(NEW.msgid, OLD.msgid) LIKE '%-pause' THEN
      PERFORM pg_advisory_lock_shared(${LOCK});
      PERFORM pg_advisory_unlock_shared(${LOCK});
    END IF;
    RETURN coalesce(NEW, OLD);
  END $$;
  CREATE TRIGGER pause_save BEFORE INSERT ON mqtt_msg FOR EACH ROW EXECUTE FUNCTION pause();
  CREATE TRIGGER pause_delete BEFORE DELETE ON mqtt_msg FOR EACH ROW EXECUTE FUNCTION pause();
  CREATE TRIGGER pause_bury BEFORE INSERT ON mqtt_tombstone FOR EACH ROW EXECUTE FUNCTION pause();
  ALTER TABLE mqtt_msg DISABLE TRIGGER USER;
  ALTER TABLE mqtt_tombstone DISABLE TRIGGER USER`;

/**
 * Two servers save and remove the same message. One of them stands still in the middle of a step, while the other one
 * does all of its work.
 */
describe('a message that is removed while it is saved', () => {
  withBackends(['postgres'], ({ postgres: server }) => {
    let [saver, remover]: PostgresStore[] = [];
    let client: Client;
    beforeAll(async () => {
      const url = await emptyDatabase(server, 'offline_interleaving');
      [saver, remover] = [new PostgresStore({ connectionString: url }), new PostgresStore({ connectionString: url })];
      await saver.migrate();
      client = new Client({ connectionString: url });
      await client.connect();
      await client.query(PAUSES);
    });
    afterAll(() => Promise.all([saver!.close(), remover!.close(), client.end()]));

    const list = async (topic: string) => (await saver!.listMessages({ topic, after: '', limit: 10, now: Date.now() })).map(({ id }) => id);
    const save = (...ids: string[]) => saver!.saveMessages(ids.map((id) => message({ topic: id.split('-')[0]!, id })));
    const remove = (...ids: string[]) =>
      remover!.removeMessages(
        ids.map((id) => ({ topic: id.split('-')[0]!, id })),
        Date.now() + HOUR_MS,
      );

    const standsStill = async (): Promise<boolean> => {
      const { rows } = await client.query(`SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = ${LOCK} AND NOT granted`);
      return rows.length === 1;
    };

    /** Starts `paused`, does `meanwhile` while it stands still at the trigger, and lets it go on. */
    async function during(
      trigger: 'pause_save' | 'pause_delete' | 'pause_bury',
      paused: () => Promise<unknown>,
      meanwhile: () => Promise<unknown>,
    ) {
      const table = trigger === 'pause_bury' ? 'mqtt_tombstone' : 'mqtt_msg';
      await client.query(`ALTER TABLE ${table} ENABLE TRIGGER ${trigger}`);
      await client.query(`SELECT pg_advisory_lock(${LOCK})`);
      const done = paused();
      await waitFor('the pause', standsStill);
      await meanwhile();
      await client.query(`SELECT pg_advisory_unlock(${LOCK})`);
      await done;
      await client.query(`ALTER TABLE ${table} DISABLE TRIGGER ${trigger}`);
    }

    // The guard is that the save looks for tombstones after its commit.
    it('stays removed when the whole removal happens before the save commits', async () => {
      await during(
        'pause_save',
        () => save('a-1', 'a-pause'),
        () => remove('a-1'),
      );
      expect(await list('a')).toEqual(['a-pause']);
    });

    it('stays removed when it was stored, and is removed while it is saved again', async () => {
      await save('b-9');
      // The save has seen no tombstone, stands still, and then writes the row that has gone meanwhile.
      await during(
        'pause_save',
        () => save('b-1-pause', 'b-9'),
        () => remove('b-9'),
      );
      expect(await list('b')).toEqual(['b-1-pause']);
    });

    // The guard is that the removal deletes in a statement of its own, after its tombstones.
    it('stays removed when the whole save happens before the tombstones are committed', async () => {
      await during(
        'pause_bury',
        () => remove('c-1', 'c-pause'),
        () => save('c-1'),
      );
      expect(await list('c')).toEqual([]);
    });

    // The guard is that the tombstones are committed before the delete begins, and that the save looks before it writes.
    it('is not visible for a moment when it is saved again while the delete runs', async () => {
      await save('d-1', 'd-pause');
      await during(
        'pause_delete',
        () => remove('d-0', 'd-pause'),
        async () => {
          await save('d-0');
          expect(await list('d')).toEqual(['d-1', 'd-pause']);
        },
      );
      expect(await list('d')).toEqual(['d-1']);
    });

    // The guard is that the save looks before it writes. Without it the row is committed, and the save stands still
    // before it deletes the row.
    it('is not visible for a moment when it is saved again after its removal', async () => {
      await remove('f-pause');
      await client.query('ALTER TABLE mqtt_msg ENABLE TRIGGER pause_delete');
      await client.query(`SELECT pg_advisory_lock(${LOCK})`);
      let ended = false;
      const saving = save('f-pause').finally(() => (ended = true));
      await waitFor('the save to end or to stand still', async () => ended || (await standsStill()));
      const seen = await list('f');
      await client.query(`SELECT pg_advisory_unlock(${LOCK})`);
      await saving;
      await client.query('ALTER TABLE mqtt_msg DISABLE TRIGGER pause_delete');
      expect(seen).toEqual([]);
    });

    it('stays removed when two saves and two removals of it wait for each other', async () => {
      await save('e-5');
      await during(
        'pause_save',
        () => save('e-1-pause', 'e-5', 'e-6'),
        async () => {
          await Promise.all([remove('e-5', 'e-6'), remove('e-6', 'e-5')]);
          await save('e-5', 'e-6');
        },
      );
      expect(await list('e')).toEqual(['e-1-pause']);
    });
  });
});
