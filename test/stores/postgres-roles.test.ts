import { Client } from 'pg';
import { RetryableError } from '../../src/base/errors';
import { PostgresStore } from '../../src/stores/postgres';
import { withBackends } from '../support/backends';
import { changed, withSink, withTemplates } from '../history/sinks';
import { emptyDatabase } from '../support/database';
import { answeredHealth } from '../support/health';
import { message } from '../support/messages';
import { waitFor } from '../support/wait';
import { ORIGINAL, ROWS } from './emqx-tables';

const ROLE = 'offline_set';

/** Settings that an operator gives to the server's user hold in each of its new connections. */
describe('a user with settings of its own', () => {
  withBackends(['postgres'], ({ postgres: server }) => {
    let [admin, url]: [Client?, string?] = [];
    const stores: PostgresStore[] = [];

    beforeEach(async () => {
      const database = await emptyDatabase(server, 'offline_roles');
      admin = new Client({ connectionString: database });
      await admin.connect();
      await admin.query(`DROP ROLE IF EXISTS ${ROLE}`);
      await admin.query(`CREATE ROLE ${ROLE} LOGIN PASSWORD '${ROLE}'; GRANT ALL ON SCHEMA public TO ${ROLE}`);
      url = Object.assign(new URL(database), { username: ROLE, password: ROLE }).href;
    });
    afterEach(async () => {
      await Promise.all(stores.splice(0).map((store) => store.close()));
      await admin!.query(`DROP OWNED BY ${ROLE}; DROP ROLE ${ROLE}`);
      await admin!.end();
    });

    const open = (): PostgresStore => {
      const store = new PostgresStore({ connectionString: url! });
      stores.push(store);
      return store;
    };
    const set = (setting: string) => admin!.query(`ALTER ROLE ${ROLE} ${setting}`);

    // Promise 14. After a failover a connection may lead to a server that is a standby now. It stays open and is of no use.
    it('works again when new connections may write, although the old ones may only read', async () => {
      const store = open();
      await store.migrate();
      await store.close();
      await set('SET default_transaction_read_only = on');
      const other = open();
      const saved = message({ topic: 'after failover' });
      await Promise.all(Array.from({ length: 4 }, () => other.getMessage(saved.id)));
      await expect(other.saveMessages([saved])).rejects.toThrow(RetryableError);
      await set('RESET default_transaction_read_only');
      // A connection that the pool was opening meanwhile may only read, too. The writer repeats what failed.
      const repeated = <T>(work: () => Promise<T>) => waitFor('a connection that may write', () => work().catch(() => null));
      expect(await repeated(() => other.saveMessages([saved]))).toEqual([]);
      for (let i = 0; i < 5; i++) expect(await repeated(() => other.removeMessages([saved], Date.now() + 60_000))).toBe(i === 0 ? 1 : 0);
    });

    it('does the same for a history with statements of the operator', async () => {
      const sql = 'INSERT INTO own (id) VALUES ($1)';
      await admin!.query(`CREATE TABLE own (id text); GRANT ALL ON own TO ${ROLE}`);
      await withTemplates({ '#': { name: 'own', sql, param_keys: ['$id'] } }, async (file) => {
        const history = changed(url!.replace(/^\w+:/, 'timescale:'), { params: { templates: file } });
        await withSink(history, (sink) => sink.migrate());
        await set('SET default_transaction_read_only = on');
        await withSink(history, async (sink) => {
          const appended = message({ topic: 'after failover' });
          await expect(sink.append([appended])).rejects.toThrow(RetryableError);
          await set('RESET default_transaction_read_only');
          expect(await sink.append([appended])).toEqual([]);
          expect((await admin!.query('SELECT id FROM own')).rows).toEqual([{ id: appended.id }]);
        });
      });
    });

    it('is not held to its statement_timeout while it migrates', async () => {
      // The statements before the migration's transaction have so much time, too.
      const limitMs = 1_000;
      await set(`SET statement_timeout = ${limitMs}`);
      const lock = 'pg_advisory_lock(7261845)';
      await admin!.query(`SELECT ${lock}`);
      const migrating = open().migrate();
      const waiting = `SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`;
      await waitFor('the migration to wait for its turn', async () => (await admin!.query(waiting)).rows.length > 0);
      await new Promise((resolve) => setTimeout(resolve, 1.5 * limitMs));
      await admin!.query(`SELECT ${lock.replace('lock(', 'unlock(')}`);
      await migrating;
      await set('RESET statement_timeout');
      expect(await answeredHealth(open())).toMatchObject({ ok: true });
    });

    // The guard is the look with to_regclass: IF NOT EXISTS would make new, empty tables in the schema that comes first.
    it("finds its tables again after its user has got a schema of its own, which comes first in the server's search_path", async () => {
      const store = open();
      await store.migrate();
      const saved = message({ topic: 'kept' });
      await store.saveMessages([saved]);
      await admin!.query(`CREATE SCHEMA AUTHORIZATION ${ROLE}`);
      await admin!.query('DELETE FROM mqtt_offline_migration WHERE version = 6');
      const later = open();
      await later.migrate();
      expect(await later.getMessage(saved.id)).toEqual(saved);
      const { rows } = await admin!.query(`SELECT relname FROM pg_class WHERE relnamespace = '${ROLE}'::regnamespace AND relkind = 'r'`);
      expect(rows).toEqual([]);
    });

    it("does not hide EMQX's tables behind new ones in another schema", async () => {
      await admin!.query(`CREATE SCHEMA AUTHORIZATION ${ROLE}; SET ROLE ${ROLE}; SET search_path = public`);
      await admin!.query(`${ORIGINAL} ${ROWS} RESET ROLE; RESET search_path`);
      await expect(open().migrate()).rejects.toThrow(/mqtt_acked is in the schema public, and new tables would be in offline_set/);
      const store = new PostgresStore({ connectionString: url!, options: '-c search_path=public' });
      stores.push(store);
      await store.migrate();
      expect(await store.listTopics({ filter: 't/#', after: '', limit: 10 })).toEqual(['t/acked', 't/bare', 't/old', 't/other']);
    });

    it.each(['repeatable read', 'serializable'])('migrates two servers at once with the isolation level %s', async (level) => {
      await admin!.query(`SET ROLE ${ROLE}; ${ORIGINAL} ${ROWS} RESET ROLE`);
      await set(`SET default_transaction_isolation = '${level}'`);
      const both = [open(), open()];
      await Promise.all(both.map((store) => store.migrate()));
      for (const store of both) expect(await answeredHealth(store)).toMatchObject({ ok: true });
    });
  });
});
