import { DatabaseError, Pool, type ClientConfig, type PoolClient } from 'pg';
import { ClosedError, errorText, RetryableError } from '../../base/errors';
import type { Message } from '../../mqtt/message';
import { isReadOnly, mapError } from '../../stores/postgres/errors';
import type { Refusal } from '../../stores/store';
import { appendPoints, renderMessage } from '../append';
import type { Value } from '../points';
import type { Templates } from '../template';
import { executionsOf, sizeOf, type Execution, type Statement } from './template';

/** How many rows of mqtt_history_done a page deletes at most: more than a page adds. */
const FORGOTTEN = 1_000;

const ignore = (): void => undefined;

/** The operator's own statements (`templates=`). Each runs once for a message, whatever it does. */
export class Statements {
  private readonly pool: Pool;
  private types: Promise<ParameterTypes> | null = null;
  private closed = false;

  constructor(
    connection: ClientConfig,
    private readonly templates: Templates<Statement>,
    private readonly product: string,
  ) {
    // With pipeline a page takes one and a half round trips, rather than one per row.
    this.pool = new Pool({
      connectionTimeoutMillis: 5_000,
      query_timeout: 60_000,
      keepAlive: true,
      max: 10,
      pipeline: true,
      ...connection,
    });
    // The pool replaces a lost connection, and its work fails by itself. Without a listener the error would end the
    // process.
    this.pool.on('error', ignore).on('connect', (client) => void client.on('error', ignore));
  }

  async append(messages: readonly Message[]): Promise<Refusal[]> {
    const types = await this.check();
    return appendPoints(messages, {
      render: (message) => {
        const rendered = renderMessage(message, this.templates, executionsOf, sizeOf);
        return rendered === null ? null : { bytes: rendered.bytes, points: [{ message, executions: rendered.points }] };
      },
      write: (page) => this.transaction((client) => runOnce(client, page, types)),
    });
  }

  /**
   * Prepares every statement.
   * @throws RetryableError for a statement that the database rejects, because the operator may still create its table
   */
  check(): Promise<ParameterTypes> {
    this.types ??= this.transaction((client) => this.prepareAll(client)).catch((error: unknown) => {
      this.types = null;
      throw error;
    });
    return this.types;
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.pool.end();
  }

  private async prepareAll(client: PoolClient): Promise<ParameterTypes> {
    const types = new Map<string, readonly string[]>();
    for (const statement of this.templates.all()) types.set(statement.name, await prepare(client, statement));
    return types;
  }

  private async transaction<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    if (this.closed) throw new ClosedError('the history is closed');
    let client: PoolClient | null = null;
    try {
      client = await this.pool.connect();
      await client.query('BEGIN');
      const result = await work(client);
      await client.query('COMMIT');
      client.release();
      return result;
    } catch (error) {
      if (client !== null) await giveBack(client, error);
      throw mapError(error, this.product);
    }
  }
}

/** The types of each statement's parameters, by the statement's name. */
type ParameterTypes = ReadonlyMap<string, readonly string[]>;

interface Work {
  readonly message: Message;
  readonly executions: readonly Execution[];
}

/** A connection that failed, or that leads to a server without writes, is closed. */
async function giveBack(client: PoolClient, error: unknown): Promise<void> {
  const isBroken = await client.query('ROLLBACK').then(
    () => false,
    () => true,
  );
  client.release(isBroken || isReadOnly(error));
}

/** In one transaction, notes which messages are new to each statement, and runs the statement for these. */
async function runOnce(client: PoolClient, page: readonly Work[], types: ParameterTypes): Promise<void> {
  const names = [...new Set(page.flatMap(({ executions }) => executions.map(({ statement }) => statement.name)))].sort();
  const notes = await all(names.map((name) => client.query<{ msgid: string }>(NOTE, [name, idsOf(page, name)])));
  const fresh = new Map(names.map((name, i) => [name, new Set(notes[i]?.rows.map(({ msgid }) => msgid))]));
  const runs = page.flatMap(({ message, executions }) => {
    // Each message is taken once, because a page may contain it twice.
    const taken = names.filter((name) => fresh.get(name)?.delete(message.id));
    return executions.filter(({ statement }) => taken.includes(statement.name));
  });
  await all([...runs.map((run) => execute(client, run, types)), client.query(FORGET, [FORGOTTEN])]);
}

const NOTE = `INSERT INTO mqtt_history_done (statement, msgid) SELECT $1, id COLLATE "C" FROM unnest($2::text[]) AS id ORDER BY 2
  ON CONFLICT DO NOTHING RETURNING msgid`;

const FORGET = `DELETE FROM mqtt_history_done WHERE (statement, msgid) IN (
  SELECT statement, msgid FROM mqtt_history_done WHERE done_at < now() - interval '1 day' ORDER BY done_at LIMIT $1 FOR UPDATE SKIP LOCKED)`;

function idsOf(page: readonly Work[], name: string): string[] {
  return page.filter(({ executions }) => executions.some(({ statement }) => statement.name === name)).map(({ message }) => message.id);
}

function execute(client: PoolClient, { statement: { name, sql }, values }: Execution, types: ParameterTypes): Promise<unknown> {
  const known = types.get(name) ?? [];
  return client.query({ text: sql, values: values.map((value, i) => bind(value, known[i])) });
}

/** pg sends a Buffer as bytes and everything else as text, which the server converts to the parameter's type. */
function bind(value: Value, type: string | undefined): Value {
  return type === 'bytea' && typeof value === 'string' ? Buffer.from(value) : value;
}

/** Waits for all, then throws the first error. Later errors only say that the transaction has failed. */
async function all<T>(queries: readonly Promise<T>[]): Promise<T[]> {
  const outcomes = await Promise.allSettled(queries);
  return outcomes.map((outcome) => {
    if (outcome.status === 'rejected') throw outcome.reason;
    return outcome.value;
  });
}

/** @returns the types of the statement's parameters */
async function prepare(client: PoolClient, { name, sql, params }: Statement): Promise<readonly string[]> {
  try {
    // The extended protocol does not accept a second statement after a semicolon.
    await client.query({ text: `PREPARE mqtt_history_check AS ${sql}`, queryMode: 'extended' } as { text: string });
  } catch (error) {
    if (error instanceof DatabaseError) throw new RetryableError(`the statement "${name}" of templates= is refused: ${errorText(error)}`);
    throw error;
  }
  const { rows } = await client.query<{ types: string[] }>(
    `SELECT parameter_types::text[] AS types FROM pg_prepared_statements WHERE name = 'mqtt_history_check'`,
  );
  await client.query('DEALLOCATE mqtt_history_check');
  const types = rows[0]?.types ?? [];
  if (types.length !== params.length) {
    throw new RetryableError(`the statement "${name}" of templates= has ${types.length} parameters, its param_keys are ${params.length}`);
  }
  return types;
}
