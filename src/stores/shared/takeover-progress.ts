import { rowsOf, type OnMigration, type TakeoverCount } from '../../base/migration';

/** In the SQL databases one statement takes over all rows of a table. By number of the migration: the tables that it takes over. */
const TABLES_OF: Readonly<Record<number, readonly string[]>> = {
  1: ['mqtt_msg'],
  2: ['mqtt_client', 'mqtt_sub', 'mqtt_retain', 'mqtt_acked'],
};

/** The tables of EMQX's own backends. */
export const EMQX_TABLES: readonly string[] = Object.values(TABLES_OF).flat();

/** Tells how many rows of EMQX's tables are taken over so far. */
export class TakeoverProgress {
  private migration = '';
  private taken = 0;

  constructor(
    private readonly counts: readonly TakeoverCount[],
    private readonly onProgress: OnMigration | undefined,
  ) {}

  /** The next migration begins. */
  begin(migration: string): void {
    this.migration = migration;
    this.add(0);
  }

  /** So many more rows are taken over. A row that got a new id while the table was read may come twice: it is not more than there are. */
  add(rows: number): void {
    const total = rowsOf(this.counts);
    this.taken = Math.min(total, this.taken + rows);
    this.onProgress?.({ migration: this.migration, taken: this.taken, total });
  }

  /** The migration with this number is done, with all rows of its tables. */
  finish(version: number): void {
    this.add(rowsOf(this.counts.filter(({ table }) => TABLES_OF[version]?.includes(table) === true)));
  }
}
