import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'cassandra-driver';
import { CA_FILE, certificatesFor, installCertificates } from './certificates';
import { serviceDirectory } from './files';
import { startProcess } from './processes';
import { maven } from './registries';
import { HOST, IS_DEFAULT_SET, PORTS, type Service } from './service';
import { eventually } from './wait';

const NAME = 'cassandra';
/** Plain and TLS. */
const PORT = PORTS + 42;
/** For other nodes; there are none. */
const STORAGE_PORT = PORTS + 700;
const KEYSPACE = 'offline';
const DATACENTER = 'datacenter1';

const URL = `cassandra://${HOST}:${PORT}/${KEYSPACE}?dc=${DATACENTER}`;

const jars = (): Promise<string> => maven(NAME, { group: 'org.apache.cassandra', id: 'cassandra-all', version: '5.0.5' });

/** One node, started from its jars: Debian has no package. */
export const cassandra: Service = {
  name: NAME,
  variables: { TEST_CASSANDRA_URL: URL, TEST_CASSANDRA_TLS_URL: `${URL}&tls=true`, TEST_CA_FILE: CA_FILE },
  async install() {
    await Promise.all([jars(), installCertificates()]);
  },
  async start() {
    const directory = serviceDirectory(NAME);
    const lib = await jars();
    writeConfiguration(directory);
    const properties = [
      `cassandra.config=file://${directory}/cassandra.yaml`,
      `cassandra.storagedir=${directory}`,
      'cassandra-foreground=yes',
      `logback.configurationFile=${directory}/logback.xml`,
      // There is nobody to wait for.
      'cassandra.ring_delay_ms=100',
      'cassandra.skip_wait_for_gossip_to_settle=0',
    ];
    const args = [
      '-Xms256m',
      '-Xmx1g',
      '-XX:+UseSerialGC',
      '-XX:+ExitOnOutOfMemoryError',
      `-javaagent:${lib}/jamm-0.4.0.jar`,
      ...properties.map((property) => `-D${property}`),
      ...EXPORTS.flatMap((name) => ['--add-exports', `${name}=ALL-UNNAMED`]),
      ...OPENS.flatMap((name) => ['--add-opens', `${name}=ALL-UNNAMED`]),
      '-cp',
      `${lib}/*`,
      'org.apache.cassandra.service.CassandraDaemon',
    ];
    await startProcess({ service: NAME, command: 'java', args, port: PORT });
    const replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}";
    await eventually(20_000, () => execute(`CREATE KEYSPACE IF NOT EXISTS ${KEYSPACE} WITH replication = ${replication}`));
  },
  check: () => execute('SELECT release_version FROM system.local'),
};

function writeConfiguration(directory: string): void {
  const { certificate, key } = certificatesFor(directory);
  // Its PEM reader wants key and certificate in one file.
  const keystore = join(directory, 'keystore.pem');
  writeFileSync(keystore, readFileSync(key, 'utf8') + readFileSync(certificate, 'utf8'));
  chmodSync(keystore, 0o600);
  const configuration = {
    cluster_name: 'tests',
    partitioner: 'org.apache.cassandra.dht.Murmur3Partitioner',
    endpoint_snitch: 'SimpleSnitch',
    num_tokens: 1,
    listen_address: HOST,
    storage_port: STORAGE_PORT,
    rpc_address: HOST,
    native_transport_port: PORT,
    client_encryption_options: {
      enabled: true,
      optional: true,
      ssl_context_factory: { class_name: 'org.apache.cassandra.security.PEMBasedSslContextFactory' },
      keystore,
    },
    seed_provider: [{ class_name: 'org.apache.cassandra.locator.SimpleSeedProvider', parameters: [{ seeds: `${HOST}:${STORAGE_PORT}` }] }],
    // A set of one's own is killed (test/chaos): what it has confirmed must be there then. Periodic, the default, loses the last moments and is quicker.
    ...(IS_DEFAULT_SET ? { commitlog_sync: 'periodic', commitlog_sync_period: '10s' } : { commitlog_sync: 'batch' }),
    memtable_allocation_type: 'heap_buffers',
    auto_snapshot: false,
    data_file_directories: [join(directory, 'data')],
  };
  // JSON is YAML.
  writeFileSync(join(directory, 'cassandra.yaml'), JSON.stringify(configuration, null, 2));
  writeFileSync(
    join(directory, 'logback.xml'),
    '<configuration><appender name="out" class="ch.qos.logback.core.ConsoleAppender"><encoder><pattern>%d %-5level %logger{0} %msg%n</pattern></encoder></appender><root level="WARN"><appender-ref ref="out"/></root></configuration>\n',
  );
}

async function execute(statement: string): Promise<void> {
  const client = new Client({ contactPoints: [`${HOST}:${PORT}`], localDataCenter: DATACENTER });
  try {
    await client.execute(statement);
  } finally {
    await client.shutdown();
  }
}

/** What Cassandra needs of Java 17's internals: its own conf/jvm17-server.options. */
const EXPORTS = [
  'java.base/jdk.internal.misc',
  'java.base/java.lang.ref',
  'java.management.rmi/com.sun.jmx.remote.internal.rmi',
  'java.rmi/sun.rmi.registry',
  'java.rmi/sun.rmi.server',
  'java.sql/java.sql',
  'jdk.attach/sun.tools.attach',
  'jdk.unsupported/sun.misc',
];
const OPENS = [
  'java.base/java.io',
  'java.base/java.lang',
  'java.base/java.lang.module',
  'java.base/java.nio',
  'java.base/java.util',
  'java.base/java.util.concurrent',
  'java.base/java.util.concurrent.atomic',
  'java.base/jdk.internal.loader',
  'java.base/jdk.internal.math',
  'java.base/jdk.internal.module',
  'java.base/jdk.internal.ref',
  'java.base/jdk.internal.reflect',
  'java.base/jdk.internal.util.jar',
  'java.base/sun.nio.ch',
  'jdk.management/com.sun.management.internal',
];
