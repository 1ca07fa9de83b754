import { join } from 'node:path';
import { serviceDirectory } from './files';
import { expectOk } from './http';
import { startProcess } from './processes';
import { npm } from './registries';
import { HOST, PORTS, SETUP_MS, type Service } from './service';
import { eventually } from './wait';

const NAME = 'clickhouse-current';
const PORT = PORTS + 126;
const USER = 'default';
const PASSWORD = 'clickhouse';
const DATABASE = 'offline';

const chdb = (): Promise<string> => npm('chdb', '3.4.0');

/** The engine of ClickHouse 26.7 behind our own HTTP front: its server is in no registry, the library chdb is. */
export const clickhouseCurrent: Service = {
  name: NAME,
  variables: { TEST_CLICKHOUSE_CURRENT_URL: `clickhouse://${USER}:${PASSWORD}@${HOST}:${PORT}/${DATABASE}` },
  async install() {
    await chdb();
  },
  async start() {
    const data = join(serviceDirectory(NAME), 'data');
    const server = [join(__dirname, 'chdb-server.ts'), await chdb(), String(PORT), data, USER, PASSWORD];
    await startProcess({ service: NAME, command: process.execPath, args: ['--import', require.resolve('tsx'), ...server], port: PORT });
    await eventually(SETUP_MS, () => query(`CREATE DATABASE IF NOT EXISTS ${DATABASE}`));
  },
  check: () => query('SELECT 1'),
};

const query = (body: string): Promise<void> =>
  expectOk(`http://${HOST}:${PORT}/`, { method: 'POST', headers: { 'X-ClickHouse-User': USER, 'X-ClickHouse-Key': PASSWORD }, body });
