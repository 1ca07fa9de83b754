import { SettingError } from '../../base/errors';
import type { Message, MessageRef } from '../../mqtt/message';
import type { MessageQuery, Refusal, Store, StoredRef, Subscription, SubscriptionRef } from '../store';
import { saveOrBisect } from './bisect';
import { compareText } from './order';
import { clampQos } from '../../mqtt/qos';
import { settingOf, STATEMENT_NAMES, type Statement, type Statements, type Value } from '../../config/statements';

export interface StatementResult {
  readonly rows: Record<string, unknown>[];
  /** The number of changed rows. */
  readonly affected: number;
}

export interface BoundStatement {
  readonly sql: string;
  readonly values: readonly Value[];
}

/** What the SQL databases have in common, for statements with `?`. Errors are the server's own kinds. */
export interface StatementRunner {
  statement(sql: string, values: readonly Value[]): Promise<StatementResult>;
  /**
   * Has the database look at a statement without running it (EXPLAIN).
   * @returns the database's own words when it refuses the statement; null when it takes it. @throws RetryableError while it is away
   */
  refusalOf(sql: string, values: readonly Value[]): Promise<string | null>;
  /** Runs all statements or none. */
  atomically(statements: readonly BoundStatement[]): Promise<void>;
}

/** The parts of an SQL store that the operator's statements use. */
export interface SqlParts {
  readonly runner: StatementRunner;
  readonly messages: {
    /** The ids that are stored or have a tombstone. */
    known(ids: readonly string[], now: number): Promise<ReadonlySet<string>>;
    /**
     * Fills the server's own columns in the row that the operator's statement wrote, unless they are filled. It runs in
     * the transaction of that statement: otherwise a reader could see a row that is not complete.
     */
    completion(message: Message): BoundStatement;
    removeBuried(ids: readonly string[], now: number): Promise<void>;
    bury(ids: readonly string[], tombstoneUntil: number): Promise<void>;
    /** @param condition a condition on mqtt_msg. */
    listMessages(query: MessageQuery, condition: BoundStatement | null): Promise<Message[]>;
    listRefs(query: MessageQuery, condition: BoundStatement | null): Promise<StoredRef[]>;
    /** The value for the column `payload`. */
    payloadOf(message: Message): Value;
  };
}

const SAMPLE: Readonly<Record<string, Value>> = {
  ...{ id: 'id', topic: 'topic', from: 'clientid', clientid: 'clientid', username: 'username', qos: 1, payload: 'payload' },
  ...{ retain: 0, 'flags.retain': 0, timestamp: 1_000 },
};

/** Runs the operator's statements (STORE_SQL_*). Values are always bound. */
export class OperatorStatements {
  constructor(
    private readonly db: StatementRunner,
    private readonly statements: Statements,
  ) {}

  has(name: keyof Statements): boolean {
    return this.statements[name] !== undefined;
  }

  /**
   * Makes the database check each statement without running it.
   * @throws SettingError for a statement that the database rejects, RetryableError while the database is away.
   */
  async check(): Promise<void> {
    for (const name of STATEMENT_NAMES) {
      const statement = this.statements[name];
      if (statement === undefined) continue;
      const sql =
        name === 'SELECT_MESSAGE' ? idsOf(statement) : name === 'SELECT_SUBSCRIPTIONS' ? subscriptionsOf(statement) : statement.sql;
      const refusal = await this.db.refusalOf(sql, statement.bind(SAMPLE));
      if (refusal !== null) throw new SettingError(settingOf(name), `the database rejects the statement: ${refusal}`);
    }
  }

  insertMessages(messages: readonly Message[], table: Pick<SqlParts['messages'], 'payloadOf' | 'completion'>): Promise<Refusal[]> {
    const { sql, bind } = this.get('INSERT_MESSAGE');
    const insertion = (message: Message): BoundStatement => ({ sql, values: bind(messageValues(message, table.payloadOf(message))) });
    return saveOrBisect(messages, (batch) =>
      this.db.atomically(batch.flatMap((message) => [insertion(message), table.completion(message)])),
    );
  }

  async complete(messages: readonly Message[], table: Pick<SqlParts['messages'], 'completion'>): Promise<void> {
    if (messages.length > 0) await this.db.atomically(messages.map((message) => table.completion(message)));
  }

  /** @returns how many rows the statements changed. */
  async deleteMessages(refs: readonly MessageRef[]): Promise<number> {
    const { sql, bind } = this.get('DELETE_MESSAGE');
    let affected = 0;
    for (const { id, topic } of refs) affected += (await this.db.statement(sql, bind({ id, topic }))).affected;
    return affected;
  }

  /**
   * A condition on mqtt_msg.msgid with its values, so that only messages are read that the operator's statement
   * selects.
   */
  selected(topic: string): BoundStatement | null {
    const statement = this.statements.SELECT_MESSAGE;
    return statement === undefined ? null : { sql: `msgid IN (${idsOf(statement)})`, values: statement.bind({ topic }) };
  }

  async putSubscriptions(subscriptions: readonly Subscription[]): Promise<void> {
    const { sql, bind } = this.get('INSERT_SUBSCRIPTION');
    await this.db.atomically(subscriptions.map(({ clientid, topic, qos }) => ({ sql, values: bind({ clientid, topic, qos }) })));
  }

  async deleteSubscriptions(refs: readonly SubscriptionRef[]): Promise<void> {
    const { sql, bind } = this.get('DELETE_SUBSCRIPTION');
    await this.db.atomically(refs.map(({ clientid, topic }) => ({ sql, values: bind({ clientid, topic }) })));
  }

  async listSubscriptions(clientid: string): Promise<Subscription[]> {
    const { statement, bind } = this.get('SELECT_SUBSCRIPTIONS');
    const { rows } = await this.db.statement(subscriptionsOf(statement), bind({ clientid }));
    const found = rows.map(({ topic, qos }) => ({ clientid, topic: String(topic), qos: clampQos(Number(qos ?? 0)) }));
    return found.sort((a, b) => compareText(a.topic, b.topic));
  }

  private get(name: keyof Statements): { statement: Statement; sql: string; bind: Statement['bind'] } {
    const statement = this.statements[name];
    if (statement === undefined) throw new TypeError(`${settingOf(name)} is not set`);
    return { statement, sql: statement.sql, bind: statement.bind.bind(statement) };
  }
}

/** The store with the operator's statements instead of the built-in ones. Everything else stays the store's own. */
export function operated(store: Store & { readonly sql: SqlParts }, statements: Statements): Store {
  if (Object.keys(statements).length === 0) return store;
  const { runner, messages: table } = store.sql;
  const operator = new OperatorStatements(runner, statements);
  const overridden: Partial<Store> = {
    async migrate(onProgress) {
      await store.migrate(onProgress);
      await operator.check();
    },
    ...(operator.has('INSERT_MESSAGE') && { saveMessages: (messages) => saveMessages(operator, table, messages) }),
    ...(operator.has('DELETE_MESSAGE') && {
      async removeMessages(refs, tombstoneUntil) {
        if (refs.length === 0) return 0;
        await table.bury(
          refs.map(({ id }) => id),
          tombstoneUntil,
        );
        return operator.deleteMessages(refs);
      },
    }),
    ...(operator.has('SELECT_MESSAGE') && {
      listMessages: (query) => table.listMessages(query, operator.selected(query.topic)),
      listRefs: (query) => table.listRefs(query, operator.selected(query.topic)),
    }),
    ...(operator.has('INSERT_SUBSCRIPTION') && { putSubscriptions: (subscriptions) => operator.putSubscriptions(subscriptions) }),
    ...(operator.has('DELETE_SUBSCRIPTION') && { deleteSubscriptions: (refs) => operator.deleteSubscriptions(refs) }),
    ...(operator.has('SELECT_SUBSCRIPTIONS') && { listSubscriptions: (clientid) => operator.listSubscriptions(clientid) }),
  };
  return Object.assign(Object.create(store) as Store, overridden);
}

async function saveMessages(operator: OperatorStatements, table: SqlParts['messages'], messages: readonly Message[]): Promise<Refusal[]> {
  if (messages.length === 0) return [];
  const now = Date.now();
  const known = await table.known(
    messages.map(({ id }) => id),
    now,
  );
  // Sorted, so that two batches with the same ids wait for each other instead of deadlocking.
  const fresh = [...new Map(messages.filter(({ id }) => !known.has(id)).map((message) => [message.id, message])).values()].sort((a, b) =>
    compareText(a.id, b.id),
  );
  const refused = await operator.insertMessages(fresh, table);
  // A unique key rejects messages that another process has stored at the same time. These are not refusals.
  const stored =
    refused.length === 0
      ? known
      : await table.known(
          refused.map(({ id }) => id),
          now,
        );
  const refusals = refused.filter(({ id }) => !stored.has(id));
  // EMQX, or an earlier release that died between two steps, may have stored a message that is not complete.
  const before = messages.filter(({ id }) => known.has(id) || stored.has(id));
  await operator.complete(before, table);
  await table.removeBuried(
    messages.map(({ id }) => id),
    now,
  );
  return refusals;
}

const idsOf = ({ sql }: Statement): string => `SELECT selected.msgid FROM (${sql}) AS selected`;
const subscriptionsOf = ({ sql }: Statement): string => `SELECT selected.topic, selected.qos FROM (${sql}) AS selected`;

function messageValues({ id, topic, clientid, username, qos, retain, publishReceivedAt }: Message, payload: Value): Record<string, Value> {
  const flag = retain ? 1 : 0;
  return { id, topic, from: clientid, clientid, username, qos, payload, retain: flag, 'flags.retain': flag, timestamp: publishReceivedAt };
}
