import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { apt } from './debian';
import { serviceDirectory } from './files';
import { expectOk } from './http';
import { startProcess } from './processes';
import { HOST, PORTS, SETUP_MS, type Service } from './service';
import { eventually } from './wait';

const NAME = 'clickhouse';
const PORT = PORTS + 123;
const TCP_PORT = PORTS + 124;
const USER = 'default';
const PASSWORD = 'clickhouse';
const DATABASE = 'offline';

/** The version that Debian 12 has: 18.16, from 2018. */
export const clickhouse: Service = {
  name: NAME,
  variables: { TEST_CLICKHOUSE_URL: `clickhouse://${USER}:${PASSWORD}@${HOST}:${PORT}/${DATABASE}` },
  install: () => apt('clickhouse-server'),
  async start() {
    const directory = serviceDirectory(NAME);
    const file = join(directory, 'config.xml');
    writeFileSync(file, configuration(directory));
    writeFileSync(join(directory, 'users.xml'), USERS);
    await startProcess({ service: NAME, command: 'clickhouse-server', args: [`--config-file=${file}`], port: PORT });
    await eventually(SETUP_MS, () => query(`CREATE DATABASE IF NOT EXISTS ${DATABASE}`));
  },
  check: () => query('SELECT 1'),
};

const query = (body: string): Promise<void> =>
  expectOk(`http://${HOST}:${PORT}/`, { method: 'POST', headers: { 'X-ClickHouse-User': USER, 'X-ClickHouse-Key': PASSWORD }, body });

const configuration = (directory: string): string => `<yandex>
  <logger><level>warning</level><console>true</console></logger>
  <listen_host>${HOST}</listen_host>
  <http_port>${PORT}</http_port>
  <tcp_port>${TCP_PORT}</tcp_port>
  <path>${directory}/data/</path>
  <tmp_path>${directory}/tmp/</tmp_path>
  <user_files_path>${directory}/user_files/</user_files_path>
  <format_schema_path>${directory}/format_schemas/</format_schema_path>
  <users_config>users.xml</users_config>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
  <mark_cache_size>16777216</mark_cache_size>
</yandex>
`;

const USERS = `<yandex>
  <profiles><default><max_memory_usage>1000000000</max_memory_usage></default></profiles>
  <quotas><default/></quotas>
  <users>
    <${USER}>
      <password>${PASSWORD}</password>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
    </${USER}>
  </users>
</yandex>
`;
