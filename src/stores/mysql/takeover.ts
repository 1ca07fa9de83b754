import type { Run } from './database';

type Kind = 'text' | 'a number' | 'a date and time';

/** The columns that all variants of EMQX's own tables have in common. */
const EXPECTED: Readonly<Record<string, Readonly<Record<string, Kind>>>> = {
  mqtt_msg: {
    id: 'a number',
    msgid: 'text',
    topic: 'text',
    sender: 'text',
    qos: 'a number',
    retain: 'a number',
    payload: 'text',
    arrived: 'a date and time',
  },
  mqtt_client: { clientid: 'text', state: 'text', node: 'text', online_at: 'a date and time', offline_at: 'a date and time' },
  mqtt_sub: { clientid: 'text', topic: 'text', qos: 'a number' },
  mqtt_retain: { topic: 'text', msgid: 'text', sender: 'text', qos: 'a number', payload: 'text', arrived: 'a date and time' },
  mqtt_acked: { clientid: 'text', topic: 'text', mid: 'a number' },
};

interface Column {
  readonly name: string;
  readonly type: string;
  readonly nullable: string;
  readonly preset: string | null;
  readonly extra: string;
}

/**
 * Why tables of these names in the database are not EMQX's. null if they are, or if there are none. Changes nothing.
 */
export async function takeoverProblem(run: Run): Promise<string | null> {
  for (const [table, expected] of Object.entries(EXPECTED)) {
    const problem = await tableProblem(run, table, expected);
    if (problem !== null) return problem;
  }
  return null;
}

async function tableProblem(run: Run, table: string, expected: Readonly<Record<string, Kind>>): Promise<string | null> {
  const here = 'table_schema = DATABASE() AND table_name = ?';
  const [found] = await run<{ type: string }>(`SELECT table_type AS type FROM information_schema.tables WHERE ${here}`, [table]);
  if (found === undefined) return null;
  if (found.type !== 'BASE TABLE') return `${table} is a ${found.type.toLowerCase()}, not a table`;
  const [partition] = await run(`SELECT 1 FROM information_schema.partitions WHERE ${here} AND partition_name IS NOT NULL LIMIT 1`, [
    table,
  ]);
  if (partition !== undefined) return `${table} has partitions, which allow no unique key on a message's id`;
  const columns = await run<Column>(
    `SELECT column_name AS name, data_type AS type, is_nullable AS nullable, column_default AS preset, extra AS extra
     FROM information_schema.columns WHERE ${here}`,
    [table],
  );
  return columnProblem(table, columns, expected);
}

function columnProblem(table: string, columns: readonly Column[], expected: Readonly<Record<string, Kind>>): string | null {
  for (const [name, kind] of Object.entries(expected)) {
    const column = columns.find((each) => each.name === name);
    if (column === undefined) return `${table} has no column ${name}`;
    if (!isKind(column.type, kind)) return `${table}.${name} is ${column.type}, expected ${kind}`;
  }
  const id = columns.find(({ name }) => name === 'id');
  if (id !== undefined && !isNumbered(id)) return `${table}.id is not AUTO_INCREMENT`;
  const strange = columns.find(
    ({ name, nullable, preset, extra }) =>
      name !== 'id' && nullable === 'NO' && preset === null && extra === '' && expected[name] === undefined,
  );
  return strange === undefined ? null : `${table}.${strange.name} must be filled, and only EMQX's own columns can be`;
}

/** MySQL gives each row a number, by EMQX's definition or by that of migrations/mysql/005_key.sql. */
const isNumbered = ({ extra, preset }: Column): boolean => extra.includes('auto_increment') || /uuid_short/i.test(preset ?? '');

function isKind(type: string, kind: Kind): boolean {
  const isNumber = /int$|^(decimal|bit|boolean)$/.test(type);
  switch (kind) {
    case 'a number':
      return isNumber;
    case 'a date and time':
      return /^(datetime|timestamp)$/.test(type);
    // A state is a number in some setups. It becomes text.
    case 'text':
      return isNumber || /(char|text|blob|binary|json)$/.test(type);
  }
}
