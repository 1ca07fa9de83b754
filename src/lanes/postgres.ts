import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { createPostgresBackend, Queue, runMigrations, Worker, type PostgresConnectionOptions, type PostgresQueueBackend } from 'bullmq';
import { Client, Pool, type ClientConfig } from 'pg';
import type { EventEmitter } from 'node:events';
import { RetryableError } from '../base/errors';
import type { MigrationPlan } from '../base/migration';
import { healthWithin, type Health, type Weakness } from '../base/health';
import { LANES, type JobQueue, type QueueBackend } from './backend';
import { explain } from '../stores/postgres/errors';
import { Connections } from './postgres-connections';
import { PostgresSequence } from './postgres-sequence';
import { PostgresState } from './postgres-state';
import type { Sequence } from './sequence';
import { JobSource, WORKER_OPTIONS } from './source';
import type { SharedState } from './state';

/**
 * The server has this schema for itself. Other users of BullMQ in the same database keep their own (the default is
 * "bullmq").
 */
const SCHEMA = 'offline_queue';
/** The server's own migrations, beside BullMQ's. `table` is one that the migration creates. */
const MIGRATIONS = [
  { name: '001_order_and_shared_state', table: 'shared_state' },
  { name: '002_records', table: 'record' },
].map(({ name, table }) => ({ table, file: join(__dirname, `../../migrations/queue/${name}.sql`) }));
/**
 * How many statements BullMQ and the shared state may run in parallel. With the connection that listens, a server
 * process uses at most 11 connections, and fewer when it is idle.
 */
const CONNECTIONS = 6;
const STATE_CONNECTIONS = 4;
/** An arbitrary number. It keeps two starting servers from creating the trigger at the same time. */
const MIGRATION_LOCK = 7_261_844;

/**
 * The settings of the queue's connections, whatever an operator has set for the server's user. BullMQ's functions need
 * this isolation level.
 */
const SETTINGS = ` -c search_path=${SCHEMA} -c default_transaction_isolation=read\\ committed`;

/** The time limit of a statement (ms), which takes one job or several at once. */
const QUERY_TIMEOUT_MS = 15_000;
/** This limit is long, because a new version of BullMQ may change tables that hold a backlog. */
const MIGRATION_TIMEOUT_MS = 24 * 60 * 60 * 1_000;

export interface PostgresQueueOptions {
  readonly connection: ClientConfig;
  readonly onError: (error: Error) => void;
}

/** BullMQ on PostgreSQL. */
export class PostgresQueue implements QueueBackend {
  readonly state: SharedState;
  readonly sequence: Sequence;
  readonly laneCounts = LANES;
  readonly shared = true;
  private readonly pool: Pool;
  private readonly connections = new Connections();
  /** null until the database is prepared, because BullMQ never retries a first connection that failed. */
  private root: PostgresQueueBackend | null = null;
  private listens: Promise<unknown> = Promise.resolve();
  private closed = false;

  constructor(private readonly options: PostgresQueueOptions) {
    this.pool = new Pool({ ...this.watched(), max: STATE_CONNECTIONS });
    this.pool.on('error', options.onError);
    this.state = new PostgresState(this.pool);
    this.sequence = new PostgresSequence(this.pool);
  }

  /** @param more settings of PostgreSQL for this connection. */
  private connection(more = ''): ClientConfig {
    const { options = '', ...connection } = this.options.connection;
    return {
      query_timeout: QUERY_TIMEOUT_MS,
      connectionTimeoutMillis: 5_000,
      ...connection,
      // The operator's options come first, because PostgreSQL uses the last one of two.
      options: `${options}${SETTINGS}${more}`.trimStart(),
      keepAlive: true,
    };
  }

  private watched(): ClientConfig {
    return { ...this.connection(), ...this.connections.watched() };
  }

  private bullConnection(max: number): PostgresConnectionOptions {
    return { ...this.watched(), schema: SCHEMA, max } as PostgresConnectionOptions;
  }

  /** All queues share the connections of `root`: a few for statements, and one that listens for new jobs. */
  private siblingOfRoot(name: string): PostgresQueueBackend {
    if (this.root === null) throw new TypeError('the queue is not prepared');
    return this.root.forQueue(name, '') as PostgresQueueBackend;
  }

  queue(name: string): JobQueue {
    const queue = new Queue(name, { connection: {} }, () => this.siblingOfRoot(name));
    queue.on('error', this.options.onError);
    return queue;
  }

  source(name: string): JobSource {
    return new JobSource(() => {
      const worker = new Worker(name, null, { ...WORKER_OPTIONS, connection: {} }, () => this.listening(this.siblingOfRoot(name)));
      worker.on('error', this.options.onError);
      return worker;
    });
  }

  /**
   * Makes a backend wait for jobs on the connection that all backends listen on. When that connection is replaced,
   * BullMQ tells only the backend that owns it, and the others would wait for ever; so each is restarted here. The
   * backends ask to listen one after the other, because pg takes one statement at a time.
   */
  private listening(backend: PostgresQueueBackend): PostgresQueueBackend {
    const inner = backend as unknown as { readonly connection: EventEmitter; ensureListening(): Promise<unknown> };
    const waitForJob = backend.waitForJob.bind(backend);
    backend.waitForJob = async (timeout) => {
      const listen = () => (this.closed ? undefined : inner.ensureListening());
      this.listens = this.listens.then(listen, listen);
      await this.listens;
      return this.closed ? null : waitForJob(timeout);
    };
    inner.connection.on('listenerinvalidated', () => void backend.disconnectBlocking().then(() => backend.reconnectBlocking()));
    return backend;
  }

  async migrationPlan(): Promise<MigrationPlan> {
    const tables = ['migration', ...MIGRATIONS.map(({ table }) => table)];
    const { rows } = await this.pool
      .query<{ table: string }>(`SELECT name AS table FROM unnest($1::text[]) AS name WHERE to_regclass($2 || '.' || name) IS NULL`, [
        tables,
        SCHEMA,
      ])
      .catch((error: unknown) => {
        throw new RetryableError(`QUEUE_URL: ${explain(error, 'PostgreSQL')}`);
      });
    const isMissing = (name: string) => rows.some(({ table }) => table === name);
    const own = MIGRATIONS.filter(({ table }) => isMissing(table)).map(({ file }) => basename(file));
    return { pending: [...(isMissing('migration') ? ["BullMQ's tables"] : []), ...own], takeover: [] };
  }

  async prepare(): Promise<void> {
    try {
      // A statement_timeout of the server's user is meant for short statements.
      const client = new Client({ ...this.connection(' -c statement_timeout=0'), query_timeout: MIGRATION_TIMEOUT_MS });
      // Without a listener an error would end the process. The caller gets the error from its query.
      client.on('error', () => undefined);
      try {
        await client.connect();
        await runMigrations(client, SCHEMA);
        await client.query(
          `BEGIN; SELECT pg_advisory_xact_lock(${MIGRATION_LOCK}); SET LOCAL search_path TO ${SCHEMA};
           ${MIGRATIONS.map(({ file }) => readFileSync(file, 'utf8')).join(';\n')}; COMMIT`,
        );
      } finally {
        await client.end();
      }
      await this.connectProducers();
    } catch (error) {
      throw new RetryableError(`QUEUE_URL: ${explain(error, 'PostgreSQL')}`);
    }
  }

  private async connectProducers(): Promise<void> {
    if (this.root !== null) return;
    const root = createPostgresBackend('root', { ...WORKER_OPTIONS, connection: this.bullConnection(CONNECTIONS) });
    // All other backends use the options of this one, whatever options they are given. Without a listener an error of
    // an idle connection would end the process.
    root.on('error', this.options.onError);
    try {
      await root.waitUntilReady();
      this.root = root;
    } finally {
      if (this.root === null) await root.close();
    }
  }

  health(): Promise<Health> {
    return healthWithin('QUEUE_URL', async () => {
      const { rows } = await this.pool.query<{ v: string }>(`SELECT current_setting('server_version') AS v`).catch((error: unknown) => {
        throw new RetryableError(explain(error, 'PostgreSQL'));
      });
      return `PostgreSQL ${rows[0]?.v}`;
    });
  }

  async weaknesses(): Promise<Weakness[]> {
    const { rows } = await this.pool.query<{ name: string }>(
      `SELECT name FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit') AND setting = 'off'`,
    );
    return rows.map(({ name }) => ({
      text: `${name} is off: what PostgreSQL confirmed just before its machine crashes is lost`,
      remedy: `set ${name} to on`,
    }));
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.root?.close();
    await this.pool.end();
  }
}
