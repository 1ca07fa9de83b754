import { createPool } from 'mysql2/promise';
import { KEYED, TABLE, values, type MakePlain } from './plain';

const table = (name: string, key: string) =>
  `CREATE TABLE ${name} (msgid varchar(64) ${key}, topic text, sender text, qos int, retain int, payload longblob, arrived bigint, expires_at bigint)`;

export const mysql: MakePlain = async (url) => {
  const pool = createPool(url);
  await pool.query(table(TABLE, ''));
  await pool.query(table(KEYED, 'COLLATE utf8mb4_bin PRIMARY KEY'));
  return {
    insert: (messages) => pool.query(`INSERT INTO ${TABLE} VALUES ?`, [messages.map((message) => [...values(message)])]),
    insertKeyed: (messages) => pool.query(`INSERT INTO ${KEYED} VALUES ?`, [messages.map((message) => [...values(message)])]),
    remove: (ids) => pool.query(`DELETE FROM ${KEYED} WHERE msgid IN (?)`, [ids]),
    close: () => pool.end(),
  };
};
