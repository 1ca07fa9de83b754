import { createConnection } from 'mysql2/promise';
import { parseServiceUrl, type ServiceUrl } from '../../src/config/url';

/** Makes an empty database on the server, runs the SQL in it and @returns its URL. */
export async function emptyMysql(server: string, name: string, ...statements: string[]): Promise<ServiceUrl> {
  await inMysql(server, `DROP DATABASE IF EXISTS ${name}`, `CREATE DATABASE ${name}`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  if (statements.length > 0) await inMysql(url.href, ...statements);
  return mysqlUrl(url.href);
}

export const mysqlUrl = (url: string): ServiceUrl => parseServiceUrl(url, ['mysql']);

/** Runs statements, several in one text allowed. @returns the rows of the last. */
export async function inMysql<R>(server: string, ...statements: string[]): Promise<R[]> {
  const { hostname: host, port, username: user, password, pathname } = new URL(server);
  const connection = await createConnection({
    host,
    port: Number(port),
    user,
    password,
    database: pathname.slice(1),
    multipleStatements: true,
  });
  try {
    let rows: unknown = [];
    for (const statement of statements) [rows] = await connection.query(statement);
    return rows as R[];
  } finally {
    await connection.end();
  }
}
