import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { certificatesFor } from './certificates';
import { as, give, ownDirectory, serviceDirectory, type Identity } from './files';
import { startProcess } from './processes';
import { run } from './run';
import { HOST, SETUP_MS } from './service';
import { eventually } from './wait';

export interface Cluster {
  readonly service: string;
  /** Where a service has more than this. */
  readonly name?: string;
  readonly port: number;
  readonly database: string;
  /** Folder of the programs, in the identity's system. */
  readonly bin: string;
  readonly identity: Identity;
  readonly settings?: readonly string[];
}

const USER = 'postgres';
const PASSWORD = 'postgres';

/** A role that the server lets in through TLS only: a client that leaves TLS out is found out. */
const TLS_ROLE = 'tls';

// Sockets of local programs are not used: the tests come by TCP, as an operator's server does.
const HBA = `hostssl all ${TLS_ROLE} 127.0.0.1/32 scram-sha-256
host all ${TLS_ROLE} 127.0.0.1/32 reject
host all all 127.0.0.1/32 scram-sha-256
host replication all 127.0.0.1/32 scram-sha-256
`;

export const postgresUrl = (cluster: Pick<Cluster, 'port' | 'database'>, scheme = 'postgres'): string =>
  `${scheme}://${USER}:${PASSWORD}@${HOST}:${cluster.port}/${cluster.database}`;

export const postgresTlsUrl = (cluster: Pick<Cluster, 'port' | 'database'>): string =>
  `postgres://${TLS_ROLE}:${PASSWORD}@${HOST}:${cluster.port}/${cluster.database}?sslmode=verify-full`;

/** Starts PostgreSQL with its superuser's password, TLS on the same port, and one database. */
export async function startCluster(cluster: Cluster): Promise<void> {
  const { service, name = service, port, bin, identity, settings = [] } = cluster;
  await prepare(cluster);
  const { inside } = folders(cluster);
  const options = [
    `listen_addresses=${HOST}`,
    'unix_socket_directories=',
    'max_connections=300',
    'shared_buffers=64MB',
    `hba_file=${inside}/hba`,
    'ssl=on',
    `ssl_cert_file=${inside}/server.pem`,
    `ssl_key_file=${inside}/server.key`,
    ...settings,
  ];
  const args = ['-D', `${inside}/data`, '-p', String(port), ...options.flatMap((option) => ['-c', option])];
  // SIGINT: a fast shutdown. SIGTERM would wait for the clients to leave.
  await startProcess({ service, name, command: join(bin, 'postgres'), args, port, identity, stopSignal: 'SIGINT' });
  await eventually(SETUP_MS, () => setUp(cluster));
}

export async function checkPostgres(url: string): Promise<void> {
  await withClient(url, (client) => client.query('SELECT 1'));
}

/** The cluster's files: their folder here, and as the server sees it. */
function folders({ service, name = '', identity }: Cluster): { readonly outside: string; readonly inside: string } {
  const own = ownDirectory(join(serviceDirectory(service), name));
  if (identity.root === undefined) return { outside: own, inside: own };
  return { outside: ownDirectory(join(identity.root, own), identity), inside: own };
}

async function prepare(cluster: Cluster): Promise<void> {
  const { bin, identity } = cluster;
  const { outside, inside } = folders(cluster);
  certificatesFor(outside, identity);
  writeFileSync(join(outside, 'hba'), HBA);
  if (existsSync(join(outside, 'data', 'PG_VERSION'))) return;
  writeFileSync(join(outside, 'password'), PASSWORD);
  // Made by us: the folder above it belongs to somebody else.
  const data = ownDirectory(join(outside, 'data'), identity);
  chmodSync(data, 0o700);
  give(data, identity);
  const args = [
    '-D',
    `${inside}/data`,
    '-U',
    USER,
    `--pwfile=${inside}/password`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C.UTF-8',
    '--no-sync',
  ];
  await run(...as(identity, join(bin, 'initdb'), args), identity.root === undefined ? { cwd: outside } : {});
}

async function setUp(cluster: Cluster): Promise<void> {
  await withClient(postgresUrl({ ...cluster, database: 'postgres' }), async (client) => {
    const has = async (query: string, name: string): Promise<boolean> => (await client.query(query, [name])).rowCount !== 0;
    if (!(await has('SELECT 1 FROM pg_roles WHERE rolname = $1', TLS_ROLE))) {
      await client.query(`CREATE ROLE ${TLS_ROLE} SUPERUSER LOGIN PASSWORD '${PASSWORD}'`);
    }
    if (!(await has('SELECT 1 FROM pg_database WHERE datname = $1', cluster.database)))
      await client.query(`CREATE DATABASE ${cluster.database}`);
  });
}

async function withClient(url: string, work: (client: Client) => Promise<unknown>): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}
