/** Of a value list that may be unsorted: the one below which this share lies. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

export const median = (values: readonly number[]): number => percentile(values, 0.5);

/** What one side of a measurement gave in one round. */
export type Figures = Readonly<Record<string, number>>;

/** A figure that is compared: its name in Figures, what it is called in the table, and the aim. */
export interface Column {
  readonly key: string;
  readonly title: string;
  readonly goal?: string;
}

/** A figure that has no counterpart: 0 is what it should be, and then it is not shown where `quiet` is set. */
export interface Note {
  readonly key: string;
  readonly title: string;
  readonly quiet?: boolean;
}

export interface Sides {
  readonly plain: () => Promise<Figures>;
  readonly server: () => Promise<Figures>;
}

/** Both sides take turns for so many rounds. @returns the medians of each side. */
export async function compare(rounds: number, { plain, server }: Sides): Promise<{ plain: Figures; server: Figures }> {
  const [plains, servers]: [Figures[], Figures[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    plains.push(await plain());
    servers.push(await server());
  }
  return { plain: medians(plains), server: medians(servers) };
}

function medians(all: readonly Figures[]): Figures {
  return Object.fromEntries(Object.keys(all[0] ?? {}).map((key) => [key, median(all.map((figures) => figures[key] ?? NaN))]));
}

const HEADER = '| | plain | server | server ÷ plain | goal |\n| --- | --- | --- | --- | --- |\n';

/** Prints the table's head when it prints its first row. */
export class Table {
  private begun = false;

  constructor(private readonly write: (text: string) => void = (text) => void process.stdout.write(text)) {}

  add({ plain, server }: { plain: Figures; server: Figures }, columns: readonly Column[], notes: readonly Note[] = []): void {
    for (const { key, title, goal } of columns) {
      const [base, value] = [plain[key] ?? NaN, server[key] ?? NaN];
      this.row(title, shown(base), shown(value), shown(value / base), goal ?? '');
    }
    for (const { key, title, quiet } of notes) {
      const value = server[key] ?? NaN;
      if (value !== 0 || quiet !== true) this.row(title, '-', Number.isNaN(value) ? '-' : shown(value), '-', quiet === true ? '0' : '');
    }
  }

  private row(...cells: readonly string[]): void {
    if (!this.begun) this.write(HEADER);
    this.begun = true;
    this.write(`| ${cells.join(' | ')} |\n`);
  }
}

/** Three digits that count. */
export function shown(value: number): string {
  if (!Number.isFinite(value)) return '-';
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(digits, 3));
}
