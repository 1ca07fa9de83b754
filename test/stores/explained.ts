import { Client } from 'pg';

interface Plan {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly Plans?: readonly Plan[];
}

interface Statement {
  readonly text: string;
  readonly values: unknown[];
}

/** Explains every statement of `work` just before it runs. @returns how many rows of our tables they read. */
export async function explained(client: Client, work: () => Promise<unknown>): Promise<number> {
  const query = Client.prototype.query as (this: Client, ...args: unknown[]) => unknown;
  let read = 0;
  const explain = async ({ text, values }: Statement): Promise<void> => {
    if (text.startsWith('VACUUM')) return;
    await query.call(client, 'BEGIN');
    const explanation = { text: `EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) ${text}`, values: [...values] };
    const { rows } = (await query.call(client, explanation)) as { rows: { 'QUERY PLAN': { Plan: Plan }[] }[] };
    await query.call(client, 'ROLLBACK');
    read += rowsRead(rows[0]?.['QUERY PLAN'][0]?.Plan);
  };
  const spy = jest.spyOn(Client.prototype, 'query').mockImplementation(function (this: Client, ...args: unknown[]) {
    void explain(args[0] as Statement).then(() => query.apply(this, args));
  });
  try {
    await work();
  } finally {
    spy.mockRestore();
  }
  return read;
}

function rowsRead(plan: Plan | undefined): number {
  if (plan === undefined) return 0;
  const own = plan['Node Type'].includes('Scan') && (plan['Relation Name'] ?? '').startsWith('mqtt_');
  const rows = own ? (plan['Actual Rows'] + (plan['Rows Removed by Filter'] ?? 0)) * plan['Actual Loops'] : 0;
  return (plan.Plans ?? []).reduce((sum, each) => sum + rowsRead(each), Math.round(rows));
}
