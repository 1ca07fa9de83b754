import type { Message } from '../mqtt/message';
import type { Health } from '../base/health';
import type { MigrationPlan } from '../base/migration';
import type { Refusal } from '../stores/store';

/**
 * Where every stored message is also written to, and stays (HISTORY_URLS). Nothing of it is ever read, changed or deleted by us.
 *
 * Every method but health() throws RetryableError for a transient trouble and ClosedError after close().
 */
export interface HistorySink {
  /** For logs and metrics: scheme, host and database, without user and password. */
  readonly name: string;

  /** Creates what the sink itself needs; nothing where the database makes series by itself. Idempotent, safe when two processes call it at once. */
  migrate(): Promise<void>;

  /** What migrate() would do now. Changes nothing. */
  migrationPlan(): Promise<MigrationPlan>;

  /**
   * Appends messages. Safe to repeat: the same messages appended twice are stored once.
   * @returns those that make no data point or that the database refuses for their content; the others are stored.
   */
  append(messages: readonly Message[]): Promise<Refusal[]>;

  /** Never throws; answers within 3 s. */
  health(): Promise<Health>;

  close(): Promise<void>;
}
