/**
 * The current ClickHouse engine, chdb, behind as much of ClickHouse's HTTP interface as @clickhouse/client and curl use.
 * Arguments: the folder to require chdb from, the port, the data folder, the user and the password.
 */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { HOST } from './service';

interface Result {
  readonly rowsRead: number;
  readonly bytesRead: number;
  readonly elapsed: number;
  bytes(): Uint8Array;
}

/** What we use of chdb. Sessions share the data folder; settings and the current database are each session's own. */
interface Session {
  queryAsync(sql: string, options: { readonly format: string }): Promise<Result>;
  close(): void;
}

interface Chdb {
  readonly Session: new (path: string) => Session;
}

interface Query {
  readonly id: string;
  readonly sql: string;
  readonly database: string;
  readonly format: string;
  /** Query parameters (`param_x`) too: a session takes them in the same way. */
  readonly settings: Readonly<Record<string, string>>;
}

class EngineError extends Error {
  constructor(
    readonly code: number,
    message: string,
  ) {
    super(message);
  }
}

/** Of ClickHouse's HTTPHandler; all others are 500. */
const STATUS: Readonly<Record<number, number>> = {
  ...Object.fromEntries([27, 6, 26, 38, 41, 43, 44, 46, 47, 53, 62, 70, 72, 117, 130, 349, 457].map((code) => [code, 400])),
  ...Object.fromEntries([60, 81, 16, 36].map((code) => [code, 404])),
  ...Object.fromEntries([192, 193, 497, 516].map((code) => [code, 403])),
  48: 501,
  164: 500,
  159: 408,
};

/** URL parameters that are not settings. */
const RESERVED = new Set([
  'query',
  'query_id',
  'database',
  'default_format',
  'user',
  'password',
  'session_id',
  'session_timeout',
  'session_check',
  'role',
  'compress',
  'decompress',
  'enable_http_compression',
  'buffer_size',
  'wait_end_of_query',
  'quota_key',
  'client_protocol_version',
]);

const [from = '', port = '', data = '', user = '', password = ''] = process.argv.slice(2);
const { Session } = createRequire(join(from, 'package.json'))('chdb') as Chdb;
/** Keeps the engine and the data folder open between requests. */
const keeper = new Session(data);

async function main(): Promise<void> {
  const version = Buffer.from((await keeper.queryAsync('SELECT version()', { format: 'TabSeparated' })).bytes())
    .toString()
    .trim();
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => refuse(response, error, version));
  });
  server.listen(Number(port), HOST);
  process.once('SIGTERM', () => {
    server.close();
    server.closeAllConnections();
    keeper.close();
    process.exit(0);
  });
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', `http://${HOST}`);
  if (url.pathname === '/ping') return void response.end('Ok.\n');
  // Read first: a connection whose request was not read can't be used again.
  const body = await read(request);
  authenticate(request, url.searchParams);
  const query = parse(url.searchParams, body);
  const result = await execute(query);
  response.setHeader('X-ClickHouse-Query-Id', query.id);
  response.setHeader('X-ClickHouse-Summary', JSON.stringify(summary(result)));
  response.setHeader('Content-Type', 'application/octet-stream');
  response.end(result.bytes());
}

function refuse(response: ServerResponse, error: unknown, version: string): void {
  const code = error instanceof EngineError ? error.code : ((error as { clickhouseCode?: number }).clickhouseCode ?? 1001);
  const message = error instanceof Error ? error.message : String(error);
  const text = message.startsWith('Code:') ? message : `Code: ${code}. DB::Exception: ${message} (STD_EXCEPTION)`;
  response.writeHead(STATUS[code] ?? 500, { 'X-ClickHouse-Exception-Code': String(code), 'Content-Type': 'text/plain; charset=UTF-8' });
  response.end(`${text} (version ${version} (official build))\n`);
}

async function read(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const body = Buffer.concat(chunks);
  return (request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body).toString('utf8');
}

function authenticate(request: IncomingMessage, search: URLSearchParams): void {
  const basic = /^Basic (.+)$/.exec(request.headers.authorization ?? '')?.[1];
  const header = (name: string): string | undefined => request.headers[name] as string | undefined;
  const given =
    basic === undefined
      ? [header('x-clickhouse-user') ?? search.get('user') ?? 'default', header('x-clickhouse-key') ?? search.get('password') ?? ''].join(
          ':',
        )
      : Buffer.from(basic, 'base64').toString();
  if (given === `${user}:${password}`) return;
  const name = given.slice(0, given.indexOf(':'));
  throw new EngineError(
    516,
    `Code: 516. DB::Exception: ${name}: Authentication failed: password is incorrect, or there is no user with such name. (AUTHENTICATION_FAILED)`,
  );
}

function parse(search: URLSearchParams, body: string): Query {
  return {
    id: search.get('query_id') ?? randomUUID(),
    // An INSERT comes in the URL, with its rows in the body.
    sql: [search.get('query'), body].filter((part) => part !== null && part !== '').join('\n'),
    database: search.get('database') ?? 'default',
    format: search.get('default_format') ?? 'TabSeparated',
    settings: Object.fromEntries([...search].filter(([key]) => !RESERVED.has(key))),
  };
}

async function execute(query: Query): Promise<Result> {
  const { sql, database, format } = query;
  const session = new Session(data);
  // A server takes no bare expression for a query, the embedded engine does.
  const settings = { implicit_select: '0', ...query.settings };
  try {
    const run = (statement: string): Promise<Result> => session.queryAsync(statement, { format });
    await run(`USE ${identifier(database)}`);
    await run(
      `SET ${Object.entries(settings)
        .map(([key, value]) => `${identifier(key)} = ${literal(value)}`)
        .join(', ')}`,
    );
    return await run(sql);
  } finally {
    session.close();
  }
}

const escape = (text: string): string => text.replace(/[\\'`]/g, '\\$&');
const identifier = (text: string): string => `\`${escape(text)}\``;
const literal = (text: string): string => `'${escape(text)}'`;

function summary({ rowsRead, bytesRead, elapsed }: Result): Record<string, string> {
  const read = { read_rows: String(rowsRead), read_bytes: String(bytesRead) };
  return {
    ...read,
    written_rows: '0',
    written_bytes: '0',
    total_rows_to_read: '0',
    result_rows: '0',
    result_bytes: '0',
    elapsed_ns: String(Math.round(elapsed * 1e9)),
  };
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exit(1);
});
