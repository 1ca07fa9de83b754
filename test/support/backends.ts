import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DIRECTORY } from '../services/service';

/**
 * The real servers that tests use, and the variable that says where each is. `npm run services` starts them and writes
 * the variables down.
 */
export const BACKENDS = {
  postgres: 'TEST_POSTGRES_URL',
  'postgres-tls': 'TEST_POSTGRES_TLS_URL',
  timescale: 'TEST_TIMESCALE_URL',
  mariadb: 'TEST_MARIADB_URL',
  'mariadb-tls': 'TEST_MARIADB_TLS_URL',
  mysql: 'TEST_MYSQL_URL',
  'mysql-tls': 'TEST_MYSQL_TLS_URL',
  mongodb: 'TEST_MONGODB_URL',
  'mongodb-tls': 'TEST_MONGODB_TLS_URL',
  cassandra: 'TEST_CASSANDRA_URL',
  'cassandra-tls': 'TEST_CASSANDRA_TLS_URL',
  dynamodb: 'TEST_DYNAMODB_URL',
  clickhouse: 'TEST_CLICKHOUSE_URL',
  'clickhouse-current': 'TEST_CLICKHOUSE_CURRENT_URL',
  influxdb: 'TEST_INFLUXDB_URL',
  opentsdb: 'TEST_OPENTSDB_URL',
  'opentsdb-query': 'TEST_OPENTSDB_QUERY_URL',
  redis: 'TEST_REDIS_URL',
  'redis-cluster': 'TEST_REDIS_CLUSTER_URL',
  'redis-sentinel': 'TEST_REDIS_SENTINEL_URL',
  'redis-tls': 'TEST_REDIS_TLS_URL',
  'redis-cluster-tls': 'TEST_REDIS_CLUSTER_TLS_URL',
  'redis-sentinel-tls': 'TEST_REDIS_SENTINEL_TLS_URL',
} as const;

export type BackendName = keyof typeof BACKENDS;

/** The variable in which probe.ts writes the names of the servers that do not answer. */
export const DOWN_VARIABLE = 'TEST_BACKENDS_DOWN';

/** Whether TEST_BACKENDS=none is set. The tests then run as on a machine without any of the servers. */
const NO_BACKENDS = process.env['TEST_BACKENDS'] === 'none';

const FILE = join(DIRECTORY, 'env.json');

/** The names of the backends that do not answer. */
export function backendsDown(): readonly string[] {
  return (process.env[DOWN_VARIABLE] ?? '').split(',').filter((name) => name !== '');
}

/** The backend's URL, or null where the backend is not configured. */
export function backendUrl(name: BackendName): string | null {
  return variable(BACKENDS[name]);
}

/** The certificate authority that signed the servers' certificates. */
export function caFile(): string {
  const file = variable('TEST_CA_FILE');
  if (file === null) throw new Error('TEST_CA_FILE is not set: start the servers with "npm run services"');
  return file;
}

function variable(name: string): string | null {
  if (NO_BACKENDS) return null;
  const written = existsSync(FILE) ? (JSON.parse(readFileSync(FILE, 'utf8')) as Record<string, string>) : {};
  return process.env[name] ?? written[name] ?? null;
}

/** Whether the run must fail without this backend: REQUIRE_BACKENDS is "all" or names it. */
function isRequired(name: string): boolean {
  const required = (process.env['REQUIRE_BACKENDS'] ?? '').split(',');
  return required.includes('all') || required.includes(name);
}

/**
 * Runs the tests with the URLs of the backends. If a backend is missing, the tests are skipped by name, or fail if it
 * is required.
 */
export function withBackends(names: readonly BackendName[], tests: (urls: Record<BackendName, string>) => void): void {
  const down = backendsDown();
  const missing = names.filter((name) => down.includes(name));
  if (missing.length === 0) {
    tests(Object.fromEntries(names.map((name) => [name, backendUrl(name)])) as Record<BackendName, string>);
    return;
  }
  const reason = `${missing.join(' and ')} not there: start with "npm run services", or set ${missing.map((name) => BACKENDS[name]).join(', ')}`;
  without(names, reason);
}

/** Does the same as withBackends() for a program of this machine. The program is present if the command succeeds. */
export function withProgram(name: string, tests: () => void, [program, ...args]: readonly [string, ...string[]] = [name, 'true']): void {
  if (spawnSync(program, args).status === 0) tests();
  else without([name], `${name} not there, or not allowed: install it with "npm run services -- --install ${name}"`);
}

function without(names: readonly string[], reason: string): void {
  if (names.some(isRequired)) {
    it(`needs ${names.join(' and ')}`, () => {
      throw new Error(reason);
    });
    return;
  }
  it.skip(`SKIPPED: ${reason}`, () => undefined);
}
