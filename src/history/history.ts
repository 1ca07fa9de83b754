import type { Message } from '../mqtt/message';
import type { Health } from '../base/health';
import type { MigrationPlan } from '../base/migration';
import type { Refusal } from '../stores/store';

/**
 * A database to which every stored message is also written, and where it stays (HISTORY_URLS). The server never reads,
 * changes or deletes these messages.
 *
 * All methods except health() throw RetryableError for temporary trouble and ClosedError after close().
 */
export interface HistorySink {
  /** The name in logs and metrics: scheme, host and database, without user and password. */
  readonly name: string;

  /**
   * Creates what the sink needs. Does nothing if the database creates series by itself. Idempotent, and safe if two
   * processes call it at once.
   */
  migrate(): Promise<void>;

  /** What migrate() would do now. Changes nothing. */
  migrationPlan(): Promise<MigrationPlan>;

  /**
   * Appends messages. It may be repeated: messages that are appended twice are stored once.
   * @returns the messages that make no data point, or that the database rejects because of their content. All others
   * are stored.
   */
  append(messages: readonly Message[]): Promise<Refusal[]>;

  /** Never throws; answers within 3 s. */
  health(): Promise<Health>;

  close(): Promise<void>;
}
