import { Client } from 'pg';

interface Plan {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly Plans?: readonly Plan[];
}

/**
 * A connection with these options tells the plan of each statement that it has run, also of those inside procedures, and how many
 * rows each step read (the module auto_explain).
 */
export const EXPLAINING = [
  ...['session_preload_libraries=auto_explain', 'auto_explain.log_min_duration=0', 'auto_explain.log_nested_statements=on'],
  ...['auto_explain.log_analyze=on', 'auto_explain.log_timing=off', 'auto_explain.log_format=json', 'auto_explain.log_level=notice'],
  ...['log_min_messages=error', 'client_min_messages=notice'],
]
  .map((setting) => `-c ${setting}`)
  .join(' ');

const MARK = 'plan:\n';

/** @returns how many rows of our tables the statements of `work` read, on connections with the options EXPLAINING. */
export async function explained(work: () => Promise<unknown>): Promise<number> {
  let [read, plans] = [0, 0];
  const hear = ({ message = '' }: { message?: string | undefined }): void => {
    const start = message.indexOf(MARK);
    if (start === -1) return;
    plans++;
    read += rowsRead((JSON.parse(message.slice(start + MARK.length)) as { Plan: Plan }).Plan);
  };
  const heard = new Set<Client>();
  const query = Client.prototype.query as (this: Client, ...args: unknown[]) => unknown;
  const spy = jest.spyOn(Client.prototype, 'query').mockImplementation(function (this: Client, ...args: unknown[]) {
    if (!heard.has(this)) heard.add(this.on('notice', hear));
    return query.apply(this, args) as void;
  });
  try {
    await work();
  } finally {
    spy.mockRestore();
    for (const client of heard) client.off('notice', hear);
  }
  // Without the module nothing would be read, and every test would pass.
  expect(plans).toBeGreaterThan(0);
  return read;
}

function rowsRead(plan: Plan): number {
  const own = plan['Node Type'].includes('Scan') && (plan['Relation Name'] ?? '').startsWith('mqtt_');
  const rows = own ? (plan['Actual Rows'] + (plan['Rows Removed by Filter'] ?? 0)) * plan['Actual Loops'] : 0;
  return (plan.Plans ?? []).reduce((sum, each) => sum + rowsRead(each), Math.round(rows));
}
