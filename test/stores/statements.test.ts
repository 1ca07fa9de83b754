import { Client } from 'pg';
import { SettingError } from '../../src/base/errors';
import { MysqlStore } from '../../src/stores/mysql';
import { PostgresStore } from '../../src/stores/postgres';
import { operated } from '../../src/stores/shared/operator';
import { parseStatement, type StatementName, type Statements } from '../../src/config/statements';
import type { Store } from '../../src/stores/store';
import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { message } from '../support/messages';
import { emptyMysql, inMysql } from '../support/mysql';
import { conformance } from './conformance';

const parse = (texts: Partial<Record<StatementName, string>>): Statements =>
  Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, parseStatement(name as StatementName, text)]));

/** As in the configuration of EMQX's offline message plugin. */
const PLUGIN = {
  INSERT_MESSAGE:
    'insert into mqtt_msg(msgid, sender, topic, qos, retain, payload, arrived) values (${id}, ${from}, ${topic}, ${qos}, ${flags.retain}, ${payload}, FROM_UNIXTIME(${timestamp}/1000));',
  DELETE_MESSAGE: 'delete from mqtt_msg where msgid = ${id} and topic = ${topic}',
  SELECT_MESSAGE: 'select * from mqtt_msg where topic = ${topic}',
  INSERT_SUBSCRIPTION:
    'insert into mqtt_sub(clientid, topic, qos) values(${clientid}, ${topic}, ${qos}) on duplicate key update qos = ${qos}',
  SELECT_SUBSCRIPTIONS: 'select topic, qos from mqtt_sub where clientid = ${clientid}',
  DELETE_SUBSCRIPTION: 'delete from mqtt_sub where clientid = ${clientid} and topic = ${topic}',
};

const IN_POSTGRES = {
  ...PLUGIN,
  INSERT_MESSAGE:
    'insert into mqtt_msg(msgid, sender, topic, qos, retain, payload, arrived) values (${id}, ${from}, ${topic}, ${qos}, ${flags.retain}, ${payload}, to_timestamp(${timestamp}/1000.0)::timestamp)',
  INSERT_SUBSCRIPTION:
    'insert into mqtt_sub(clientid, topic, qos) values(${clientid}, ${topic}, ${qos}) on conflict (mqtt_key(clientid), mqtt_key(topic)) do update set qos = ${qos}',
};

describe("the operator's own statements", () => {
  it.each<[StatementName, string, RegExp]>([
    [
      'INSERT_MESSAGE',
      'insert into m values (${id}, ${topics})',
      /^STORE_SQL_INSERT_MESSAGE: unknown variable \$\{topics\}; known are \$\{id\}, \$\{topic\}/,
    ],
    ['INSERT_MESSAGE', 'insert into m values (${id})', /^STORE_SQL_INSERT_MESSAGE: must use \$\{topic\}$/],
    ['INSERT_MESSAGE', "insert into m values ('${id}', ${topic})", /^STORE_SQL_INSERT_MESSAGE: \$\{...\} must not be inside quotes/],
    ['DELETE_MESSAGE', 'delete from m where id = ${id}; drop table m', /^STORE_SQL_DELETE_MESSAGE: must be a single statement/],
    ['SELECT_SUBSCRIPTIONS', 'select 1', /^STORE_SQL_SELECT_SUBSCRIPTIONS: must use \$\{clientid\}$/],
  ])('%s: %s is refused', (name, text, expected) => {
    expect(() => parseStatement(name, text)).toThrow(expected);
    expect(() => parseStatement(name, text)).toThrow(SettingError);
  });

  it('bind their parameters', () => {
    const statement = parseStatement(
      'DELETE_MESSAGE',
      "delete from m where a = '?;' and b ? 'x' and id = ${ id } and topic = ${topic} and id <> ${id};",
    );
    expect(statement.sql).toBe("delete from m where a = '\\?;' and b \\? 'x' and id = ? and topic = ? and id <> ?");
    expect(statement.bind({ id: "' or 1 = 1", topic: 't' })).toEqual(["' or 1 = 1", 't', "' or 1 = 1"]);
  });

  describe.each(['mysql', 'mariadb'] as const)('in %s', (name) => {
    withBackends([name], ({ [name]: server }) => {
      let url: ReturnType<typeof emptyMysql> | null = null;
      const open = async (statements: Statements = parse(PLUGIN)) =>
        operated(new MysqlStore(await (url ??= emptyMysql(server, 'offline_statements'))), statements);

      conformance(`on ${name} with the statements of EMQX’s plugin`, { open, many: 200, subscriptionsStay: true });
      itsOwn(open, { now: 'now()', run: async (sql) => inMysql((await url)!.href(), sql) });
    });
  });

  describe('in postgres', () => {
    withBackends(['postgres'], ({ postgres: server }) => {
      let url: Promise<string> | null = null;
      const open = async (statements: Statements = parse(IN_POSTGRES)) =>
        operated(new PostgresStore({ connectionString: await (url ??= emptyDatabase(server, 'offline_statements')) }), statements);

      conformance('on postgres with the statements of EMQX’s plugin', { open, many: 200, subscriptionsStay: true });
      itsOwn(open, {
        now: 'now()::timestamp',
        run: async (sql) => {
          const client = new Client({ connectionString: (await url)! });
          await client.connect();
          const { rows } = await client.query(sql);
          await client.end();
          return rows as unknown[];
        },
      });
    });
  });
});

interface Database {
  readonly now: string;
  readonly run: (sql: string) => Promise<unknown[]>;
}

/** Tables and conditions that only the operator knows. */
function itsOwn(open: (statements?: Statements) => Promise<Store>, { now, run }: Database): void {
  describe('with other tables and columns', () => {
    let store: Store;
    beforeAll(async () => {
      const first = await open();
      await first.migrate();
      await first.close();
      await run('ALTER TABLE mqtt_msg ADD COLUMN tenant text');
      await run('CREATE TABLE my_sub (who varchar(100), filter varchar(100), qos int)');
      store = await open(
        parse({
          INSERT_MESSAGE: `insert into mqtt_msg(msgid, sender, topic, qos, payload, arrived, tenant) values (\${id}, \${clientid}, \${topic}, \${qos}, \${payload}, ${now}, \${username})`,
          DELETE_MESSAGE: "update mqtt_msg set tenant = 'gone' where msgid = ${id}",
          SELECT_MESSAGE: "select msgid from mqtt_msg where topic = ${topic} and tenant <> 'gone'",
          INSERT_SUBSCRIPTION: 'insert into my_sub values (${clientid}, ${topic}, ${qos})',
          SELECT_SUBSCRIPTIONS: 'select filter as topic, qos from my_sub where who = ${clientid}',
          DELETE_SUBSCRIPTION: 'delete from my_sub where who = ${clientid} and filter = ${topic}',
        }),
      );
      await store.migrate();
    });
    afterAll(() => store.close());

    it('can fill a column, mark rows as deleted, and select', async () => {
      const saved = message({ topic: 'own', username: 'acme', properties: { contentType: 'text/plain' }, expiresAt: Date.now() + 60_000 });
      expect(await store.saveMessages([saved])).toEqual([]);
      const list = () => store.listMessages({ topic: 'own', after: '', limit: 10, now: Date.now() });
      const refs = () => store.listRefs({ topic: 'own', after: '', limit: 10, now: Date.now() });
      expect(await list()).toEqual([saved]);
      expect(await refs()).toEqual([{ id: saved.id, publishReceivedAt: saved.publishReceivedAt }]);
      expect(await run("select tenant from mqtt_msg where topic = 'own'")).toEqual([{ tenant: 'acme' }]);
      expect(await store.removeMessages([saved], Date.now() + 60_000)).toBe(1);
      expect([await list(), await refs()]).toEqual([[], []]);
      expect(await run("select tenant from mqtt_msg where topic = 'own'")).toEqual([{ tenant: 'gone' }]);
    });

    it('can keep subscriptions in another table', async () => {
      await store.putSubscriptions([{ clientid: 'c', topic: 't/#', qos: 1 }]);
      expect(await run('select * from my_sub')).toEqual([{ who: 'c', filter: 't/#', qos: 1 }]);
      expect(await store.listSubscriptions('c')).toEqual([{ clientid: 'c', topic: 't/#', qos: 1 }]);
      await store.deleteSubscriptions([{ clientid: 'c', topic: 't/#' }]);
      expect(await store.listSubscriptions('c')).toEqual([]);
    });

    it('are checked by the database at the start', async () => {
      const wrong = await open(parse({ SELECT_MESSAGE: 'select msgid from nowhere where topic = ${topic}' }));
      await expect(wrong.migrate()).rejects.toThrow(/^STORE_SQL_SELECT_MESSAGE: the database rejects the statement: .*nowhere/);
      await wrong.close();
    });
  });
}
