import { createClient } from '@clickhouse/client';
import { parseServiceUrl } from '../../../src/config/url';
import { row, TABLE, type MakePlain } from './plain';

export const clickhouse: MakePlain = async (url) => {
  const { hosts, user, password, path: database } = parseServiceUrl(url, ['clickhouse']);
  const client = createClient({
    url: `http://${hosts[0]!.host}:${hosts[0]!.port}`,
    username: user ?? '',
    password: password ?? '',
    database,
  });
  await client.command({
    query: `CREATE TABLE ${TABLE} (msgid String, topic String, sender String, qos Int8, retain Int8, payload String, arrived Int64, expires_at Int64) ENGINE = MergeTree ORDER BY msgid`,
  });
  const insert: Awaited<ReturnType<MakePlain>>['insert'] = (messages) =>
    client.insert({ table: TABLE, values: messages.map(row), format: 'JSONEachRow' });
  return {
    insert,
    insertKeyed: insert,
    // ClickHouse's way to delete rows that every version has. It only notes the mutation; the deletion runs later.
    remove: (ids) => client.command({ query: `ALTER TABLE ${TABLE} DELETE WHERE msgid IN (${ids.map((id) => `'${id}'`).join()})` }),
    close: () => client.close(),
  };
};
