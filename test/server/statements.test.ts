import { RetryableError } from '../../src/base/errors';
import { parseStatement } from '../../src/config/statements';
import { operated, type SqlParts } from '../../src/stores/shared/operator';
import type { Store } from '../../src/stores/store';
import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { emptyMysql } from '../support/mysql';
import { ServerProcess } from '../support/process';
import { temporaryDirectory } from '../support/temp';

describe('a STORE_SQL_* statement that the database rejects', () => {
  const directory = temporaryDirectory();
  afterAll(() => directory.remove());
  const expectRefused = async (url: string, settings: Record<string, string>, message: RegExp) => {
    const server = await ServerProcess.run({ DATA_DIR: directory.path, STORE_URL: url, ...settings }, 'serve');
    expect(await server.exitCode).toBe(78);
    expect(server.output).toMatch(message);
  };

  withBackends(['postgres'], ({ postgres }) => {
    it('ends the start on PostgreSQL', async () => {
      await expectRefused(
        await emptyDatabase(postgres, 'offline_refused_statement'),
        { STORE_SQL_DELETE_MESSAGE: 'delete from mqtt_msg where message_id = ${id}' },
        /^STORE_SQL_DELETE_MESSAGE: the database rejects the statement: column "message_id" does not exist$/m,
      );
    });
  });

  withBackends(['mysql'], ({ mysql }) => {
    it('ends the start on MySQL', async () => {
      await expectRefused(
        (await emptyMysql(mysql, 'offline_refused_statement')).href(),
        { STORE_SQL_INSERT_SUBSCRIPTION: 'insert into mqtt_sub (clientid, topic) value values (${clientid}, ${topic})' },
        /^STORE_SQL_INSERT_SUBSCRIPTION: the database rejects the statement: You have an error in your SQL syntax/m,
      );
    });
  });

  // Server.until waits for what throws RetryableError.
  it('is retried when the database could not check it', async () => {
    const refusalOf = () => Promise.reject(new RetryableError('away'));
    const store = {
      migrate: async () => undefined,
      sql: { runner: { refusalOf }, messages: {} } as unknown as SqlParts,
    } as unknown as Store & { readonly sql: SqlParts };
    const statements = { SELECT_MESSAGE: parseStatement('SELECT_MESSAGE', 'select msgid from m where topic = ${topic}') };
    await expect(operated(store, statements).migrate()).rejects.toThrow(RetryableError);
  });
});
