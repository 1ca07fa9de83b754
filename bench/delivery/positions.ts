import { Client } from 'pg';

/** What was written to read positions. NaN where it can't be told. */
export interface Written {
  /** Of a row that was seen last. */
  readonly rowBytes: number;
  readonly writesPerSecond: number;
  readonly bytesPerSecond: number;
}

const TABLE = 'mqtt_acked';
const SAMPLE_MS = 200;
/** PostgreSQL's counters are up to a second late. */
const STATISTICS_MS = 1_500;

interface Writes {
  readonly writes: string;
}

/** Looks at PostgreSQL's table of read positions while something is written there: rows written times the mean size of the row. */
export class PositionsProbe {
  private readonly sizes: number[] = [];
  private readonly start = performance.now();
  private sampling: Promise<void> = Promise.resolve();
  private stopped = false;

  private constructor(
    private readonly client: Client,
    private readonly sql: string,
    private readonly before: number,
  ) {}

  /** null: a store that tells nothing, the embedded one. */
  static async start(url: string | null): Promise<PositionsProbe | null> {
    if (url === null) return null;
    const client = new Client({ connectionString: url });
    await client.connect();
    const columns = await client.query<{ name: string }>(
      'SELECT quote_ident(attname) AS name FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped',
      [TABLE],
    );
    const size = columns.rows.map(({ name }) => `coalesce(pg_column_size(${name}), 0)`).join(' + ');
    const probe = new PositionsProbe(client, `SELECT max(${size}) AS bytes FROM ${TABLE}`, await writesOf(client));
    probe.sampling = probe.sample();
    return probe;
  }

  private async sample(): Promise<void> {
    while (!this.stopped) {
      const { rows } = await this.client.query<{ bytes: number | null }>(this.sql);
      if (rows[0]?.bytes) this.sizes.push(Number(rows[0].bytes));
      await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
    }
  }

  async stop(): Promise<Written> {
    const seconds = (performance.now() - this.start) / 1_000;
    this.stopped = true;
    await this.sampling;
    await new Promise((resolve) => setTimeout(resolve, STATISTICS_MS));
    const writes = (await writesOf(this.client)) - this.before;
    await this.client.end();
    const mean = this.sizes.reduce((sum, size) => sum + size, 0) / this.sizes.length;
    return { rowBytes: this.sizes.at(-1) ?? NaN, writesPerSecond: writes / seconds, bytesPerSecond: (writes * mean) / seconds };
  }
}

async function writesOf(client: Client): Promise<number> {
  const { rows } = await client.query<Writes>(
    'SELECT n_tup_ins + n_tup_upd AS writes FROM pg_stat_user_tables WHERE relid = to_regclass($1)',
    [TABLE],
  );
  return Number(rows[0]?.writes ?? NaN);
}
