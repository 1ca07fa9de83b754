import { rowsOf, type MigrationPlan, type MigrationProgress } from '../base/migration';

/** The lines that `migrate --dry-run` prints about one database. */
export function planLines(database: string, { pending, takeover }: MigrationPlan): string[] {
  if (pending.length === 0) return [`${database}: up to date, no migration would run`];
  return [
    `${database}: ${pending.length} ${pending.length === 1 ? 'migration' : 'migrations'} would run:`,
    ...pending.map((name) => `  ${name}`),
    ...(takeover.length === 0
      ? []
      : [
          `  taken over from EMQX's own tables: ${rowsText(rowsOf(takeover))}`,
          ...takeover.map(({ table, rows }) => `    ${table}: ${rowsText(rows)}`),
        ]),
  ];
}

/** One line of progress. */
export function migrationLine({ migration, taken, total }: MigrationProgress): string {
  return total === 0 ? `${migration} runs` : `${migration}: ${taken} of ${rowsText(total)} taken over`;
}

const rowsText = (rows: number): string => `${rows} ${rows === 1 ? 'row' : 'rows'}`;
