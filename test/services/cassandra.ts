import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'cassandra-driver';
import { CASSANDRA_DATACENTER, cassandraJars, startCassandraNode } from './cassandra-node';
import { CA_FILE, certificatesFor, installCertificates } from './certificates';
import { serviceDirectory } from './files';
import { HOST, IS_DEFAULT_SET, PORTS, SETUP_MS, type Service } from './service';
import { eventually } from './wait';

const NAME = 'cassandra';
/** Plain and TLS. */
const PORT = PORTS + 42;
/** For other nodes; there are none. */
const STORAGE_PORT = PORTS + 700;
const KEYSPACE = 'offline';

const URL = `cassandra://${HOST}:${PORT}/${KEYSPACE}?dc=${CASSANDRA_DATACENTER}`;

/** One node. */
export const cassandra: Service = {
  name: NAME,
  variables: { TEST_CASSANDRA_URL: URL, TEST_CASSANDRA_TLS_URL: `${URL}&tls=true`, TEST_CA_FILE: CA_FILE },
  async install() {
    await Promise.all([cassandraJars(), installCertificates()]);
  },
  async start() {
    await startCassandraNode({
      ...{ service: NAME, host: HOST, port: PORT, storagePort: STORAGE_PORT, seed: `${HOST}:${STORAGE_PORT}`, megabytes: 1_024 },
      configuration: {
        client_encryption_options: {
          enabled: true,
          optional: true,
          ssl_context_factory: { class_name: 'org.apache.cassandra.security.PEMBasedSslContextFactory' },
          keystore: keystoreIn(serviceDirectory(NAME)),
        },
        // By default a write that takes 2 s, or loses to others for 1.8 s, has failed. A busy machine may stand still
        // for as long, and no test wants it.
        ...{ read_request_timeout: '10s', write_request_timeout: '10s', cas_contention_timeout: '10s' },
        // A set of one's own is killed (test/chaos): what it has confirmed must be there then. Periodic, the default,
        // loses the last moments and is quicker.
        ...(IS_DEFAULT_SET ? { commitlog_sync: 'periodic', commitlog_sync_period: '10s' } : { commitlog_sync: 'batch' }),
      },
      // There is nobody to wait for.
      properties: ['cassandra.ring_delay_ms=100'],
    });
    const replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}";
    await eventually(SETUP_MS, () => execute(`CREATE KEYSPACE IF NOT EXISTS ${KEYSPACE} WITH replication = ${replication}`));
  },
  check: () => execute('SELECT release_version FROM system.local'),
};

/** Cassandra's PEM reader wants key and certificate in one file. */
function keystoreIn(directory: string): string {
  const { certificate, key } = certificatesFor(directory);
  const keystore = join(directory, 'keystore.pem');
  writeFileSync(keystore, readFileSync(key, 'utf8') + readFileSync(certificate, 'utf8'));
  chmodSync(keystore, 0o600);
  return keystore;
}

async function execute(statement: string): Promise<void> {
  const client = new Client({ contactPoints: [`${HOST}:${PORT}`], localDataCenter: CASSANDRA_DATACENTER });
  try {
    await client.execute(statement);
  } finally {
    await client.shutdown();
  }
}
