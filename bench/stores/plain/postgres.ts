import { Client } from 'pg';
import { COLUMNS, KEYED, row, TABLE, type MakePlain } from './plain';
import type { Message } from '../../../src/mqtt/message';

const table = (name: string, key: string) =>
  `CREATE TABLE ${name} (msgid text ${key}, topic text, sender text, qos int, retain int, payload text, arrived bigint, expires_at bigint)`;

export const postgres: MakePlain = async (url) => {
  const client = new Client({ connectionString: url.replace(/^timescale/, 'postgres') });
  await client.connect();
  await client.query(table(TABLE, ''));
  await client.query(table(KEYED, 'COLLATE "C" PRIMARY KEY'));
  const marks = (i: number) => `(${COLUMNS.map((_, j) => `$${i * COLUMNS.length + j + 1}`).join()})`;
  const insert = (name: string, messages: readonly Message[]) =>
    client.query(
      `INSERT INTO ${name} VALUES ${messages.map((_, i) => marks(i)).join()}`,
      messages.flatMap((message) => Object.values(row(message))),
    );
  return {
    insert: (messages) => insert(TABLE, messages),
    insertKeyed: (messages) => insert(KEYED, messages),
    remove: (ids) => client.query(`DELETE FROM ${KEYED} WHERE msgid = ANY($1)`, [ids]),
    close: () => client.end(),
  };
};
