import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { serviceDirectory } from './files';
import { startProcess } from './processes';
import { maven } from './registries';

export interface CassandraNode {
  readonly service: string;
  readonly host: string;
  readonly port: number;
  /** For the other nodes. */
  readonly storagePort: number;
  /** host:port that the node asks for the others: its own, or that of a node that runs already. */
  readonly seed: string;
  /** The most that Java's heap may take. */
  readonly megabytes: number;
  /** Of cassandra.yaml, beside what is here. */
  readonly configuration?: Readonly<Record<string, unknown>>;
  readonly properties?: readonly string[];
}

export const CASSANDRA_DATACENTER = 'datacenter1';

export const cassandraJars = (): Promise<string> =>
  maven('cassandra', { group: 'org.apache.cassandra', id: 'cassandra-all', version: '5.0.5' });

/** Starts a node from its jars, because Debian has no package, and waits until it takes clients. */
export async function startCassandraNode(node: CassandraNode): Promise<void> {
  const { service, host, port, megabytes } = node;
  const directory = serviceDirectory(service);
  const lib = await cassandraJars();
  writeConfiguration(node, directory);
  const properties = [
    `cassandra.config=file://${directory}/cassandra.yaml`,
    `cassandra.storagedir=${directory}`,
    'cassandra-foreground=yes',
    `logback.configurationFile=${directory}/logback.xml`,
    // Whoever needs the other nodes waits for them.
    'cassandra.skip_wait_for_gossip_to_settle=0',
    ...(node.properties ?? []),
  ];
  const args = [
    '-Xms256m',
    `-Xmx${megabytes}m`,
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
  await startProcess({ service, command: 'java', args, host, port });
}

function writeConfiguration({ host, port, storagePort, seed, configuration }: CassandraNode, directory: string): void {
  const all = {
    cluster_name: 'tests',
    partitioner: 'org.apache.cassandra.dht.Murmur3Partitioner',
    endpoint_snitch: 'SimpleSnitch',
    num_tokens: 1,
    listen_address: host,
    storage_port: storagePort,
    rpc_address: host,
    native_transport_port: port,
    seed_provider: [{ class_name: 'org.apache.cassandra.locator.SimpleSeedProvider', parameters: [{ seeds: seed }] }],
    memtable_allocation_type: 'heap_buffers',
    auto_snapshot: false,
    data_file_directories: [join(directory, 'data')],
    ...configuration,
  };
  // JSON is YAML.
  writeFileSync(join(directory, 'cassandra.yaml'), JSON.stringify(all, null, 2));
  writeFileSync(
    join(directory, 'logback.xml'),
    '<configuration><appender name="out" class="ch.qos.logback.core.ConsoleAppender"><encoder><pattern>%d %-5level %logger{0} %msg%n</pattern></encoder></appender><root level="WARN"><appender-ref ref="out"/></root></configuration>\n',
  );
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
