import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createConnection } from 'mysql2/promise';
import { give, type Identity } from './files';
import { HOST } from './service';

const USER = 'test';
const PASSWORD = 'test';
/** A user that the server lets in through TLS only: a client that leaves TLS out is found out. */
const TLS_USER = 'tls';
const DATABASE = 'offline';

export const mysqlUrl = (port: number): string => `mysql://${USER}:${PASSWORD}@${HOST}:${port}/${DATABASE}`;
export const mysqlTlsUrl = (port: number): string => `mysql://${TLS_USER}:${PASSWORD}@${HOST}:${port}/${DATABASE}?tls=true`;

const SETUP = `CREATE DATABASE IF NOT EXISTS ${DATABASE};
CREATE USER IF NOT EXISTS '${USER}'@'%' IDENTIFIED BY '${PASSWORD}';
GRANT ALL ON *.* TO '${USER}'@'%' WITH GRANT OPTION;
CREATE USER IF NOT EXISTS '${TLS_USER}'@'%' IDENTIFIED BY '${PASSWORD}' REQUIRE SSL;
GRANT ALL ON *.* TO '${TLS_USER}'@'%';
`;

/** What the server runs at each start. */
export function writeSetup(directory: string, owner: Identity): void {
  const file = join(directory, 'setup.sql');
  writeFileSync(file, SETUP);
  give(file, owner);
}

/** Options that MariaDB and MySQL share; `directory` as the server sees it. */
export function mysqlOptions(directory: string, port: number): string[] {
  return [
    '--no-defaults',
    `--datadir=${directory}/data`,
    `--port=${port}`,
    `--bind-address=${HOST}`,
    '--skip-name-resolve',
    '--skip-log-bin',
    `--socket=${directory}/socket`,
    `--pid-file=${directory}/own-pid`,
    `--init-file=${directory}/setup.sql`,
    `--ssl-ca=${directory}/ca.pem`,
    `--ssl-cert=${directory}/server.pem`,
    `--ssl-key=${directory}/server.key`,
    '--innodb-buffer-pool-size=64M',
    '--performance-schema=OFF',
    '--max-connections=300',
  ];
}

export async function checkMysql(port: number): Promise<void> {
  const connection = await createConnection(mysqlUrl(port));
  try {
    await connection.query('SELECT 1');
  } finally {
    await connection.end();
  }
}
