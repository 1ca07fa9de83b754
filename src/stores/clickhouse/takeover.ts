import { RefusedError } from '../../base/errors';
import type { Client } from './client';

const TEXT = /^(Nullable\(|LowCardinality\()*(String|FixedString\(\d+\))\)*$/;
const NUMBER = /^(Nullable\()?U?Int\d+\)?$/;

/** The columns of EMQX's own table. */
const COLUMNS: Readonly<Record<string, RegExp>> = {
  ...{ msgid: TEXT, sender: TEXT, topic: TEXT, payload: TEXT },
  ...{ qos: NUMBER, retain: NUMBER, arrived: NUMBER },
};

const OURS = ['mqtt_removed', 'mqtt_swept', 'mqtt_hidden', 'mqtt_topic', 'mqtt_client', 'mqtt_sub', 'mqtt_retain', 'mqtt_acked'];

/**
 * Rejects tables that only have the names of the server's, or that contain more than EMQX writes, which would be lost.
 * @throws RefusedError
 */
export async function refuseStrangers(db: Client): Promise<void> {
  const tables = await db.rows<{ name: string; engine: string }>(
    `SELECT name, engine FROM system.tables WHERE database = currentDatabase() AND name LIKE 'mqtt%'`,
  );
  const engineOf = (name: string) => tables.find((table) => table.name === name)?.engine;
  const refuse = (why: string): never => {
    throw new RefusedError(`the tables cannot be taken over: ${why}; nothing was changed`);
  };
  const engine = engineOf('mqtt_msg');
  if (engine === undefined) return;
  if (!/^[A-Za-z]*MergeTree$/.test(engine)) refuse(`mqtt_msg is a table of the kind ${engine}, expected MergeTree`);
  const columns = await db.rows<{ name: string; type: string }>(
    `SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = 'mqtt_msg'`,
  );
  // No table has no columns: another server exchanges the names of the tables at this moment. They are checked again under the lock.
  if (columns.length === 0 || columns.some(({ name }) => name === 'stored_at')) return;
  for (const [name, expected] of Object.entries(COLUMNS)) {
    const column = columns.find((each) => each.name === name);
    if (column === undefined) return refuse(`mqtt_msg has no column ${name}`);
    if (!expected.test(column.type))
      refuse(`mqtt_msg.${name} is ${column.type}, expected ${expected === TEXT ? 'text' : 'a whole number'}`);
  }
  const other = columns.find(({ name }) => !(name in COLUMNS));
  if (other !== undefined) refuse(`mqtt_msg.${other.name} is not a column of EMQX's and would be lost`);
  if (engineOf('mqtt_msg_emqx') !== undefined) refuse('mqtt_msg_emqx is in the way: rename it');
  const stranger = OURS.find((name) => engineOf(name) !== undefined && engineOf('mqtt_msg_new') === undefined);
  if (stranger !== undefined) refuse(`${stranger} is in the way: rename it`);
}
