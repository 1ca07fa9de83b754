/** Stands in for curl as far as the documentation uses it: -s, -X, -H, -d. Fails with 22 on a status of 400 or more, as curl --fail does. */
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    silent: { type: 'boolean', short: 's' },
    request: { type: 'string', short: 'X' },
    header: { type: 'string', short: 'H', multiple: true, default: [] },
    data: { type: 'string', short: 'd' },
  },
});

async function main(): Promise<void> {
  const [url = '', ...others] = positionals;
  if (others.length > 0) throw new Error(`does not know ${others.join(' ')}`);
  const headers = values.header.map((header) => header.split(': ', 2) as [string, string]);
  const { data: body, request: method = body === undefined ? 'GET' : 'POST' } = values;
  const response = await fetch(url, { method, headers, ...(body !== undefined && { body }) });
  process.stdout.write(`${await response.text()}\n`);
  if (response.status >= 400) process.exitCode = 22;
}

void main();
