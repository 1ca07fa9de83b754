/** What migrate() would do to a database now. */
export interface MigrationPlan {
  /** The migrations that would run, in this order; empty: the database is up to date. */
  readonly pending: readonly string[];
  /** What EMQX's own backends have left there, which the migrations would take over; empty: nothing. */
  readonly takeover: readonly TakeoverCount[];
}

/** The rows (documents, keys) of one of EMQX's tables. */
export interface TakeoverCount {
  readonly table: string;
  readonly rows: number;
}

/** How far migrate() is. */
export interface MigrationProgress {
  /** The migration that runs, for instance 001_messages.sql. */
  readonly migration: string;
  /** Rows of EMQX's tables that are taken over so far, and that there are. */
  readonly taken: number;
  readonly total: number;
}

export type OnMigration = (progress: MigrationProgress) => void;

export const rowsOf = (counts: readonly TakeoverCount[]): number => counts.reduce((sum, { rows }) => sum + rows, 0);
