import { Client, concurrent } from 'cassandra-driver';
import { parseServiceUrl } from '../../../src/config/url';
import { COLUMNS, TABLE, values, type MakePlain } from './plain';

/** The driver's own way to run one statement for many rows. */
const CONCURRENCY = { concurrencyLevel: 256 };

export const cassandra: MakePlain = async (url) => {
  const { hosts, path: keyspace, params } = parseServiceUrl(url, ['cassandra']);
  const contactPoints = hosts.map(({ host, port }) => `${host}:${port ?? 9042}`);
  const client = new Client({ contactPoints, keyspace, localDataCenter: params['dc'] ?? '' });
  await client.execute(
    `CREATE TABLE ${TABLE} (msgid text PRIMARY KEY, topic text, sender text, qos int, retain int, payload blob, arrived bigint, expires_at bigint)`,
  );
  const statement = `INSERT INTO ${TABLE} (${COLUMNS.join()}) VALUES (${COLUMNS.map(() => '?').join()})`;
  const run = (query: string, rows: unknown[][]) => concurrent.executeConcurrent(client, query, rows, CONCURRENCY);
  const insert: Awaited<ReturnType<MakePlain>>['insert'] = (messages) =>
    run(
      statement,
      messages.map((message) => [...values(message)]),
    );
  return {
    insert,
    insertKeyed: insert,
    remove: (ids) =>
      run(
        `DELETE FROM ${TABLE} WHERE msgid = ?`,
        ids.map((id) => [id]),
      ),
    close: () => client.shutdown(),
  };
};
