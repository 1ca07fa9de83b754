import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { Client, errors, policies, types } from 'cassandra-driver';
import { CASSANDRA_DATACENTER, startCassandraNode } from '../services/cassandra-node';
import { stopService } from '../services/processes';
import { DIRECTORY, PORTS } from '../services/service';
import { eventually, until } from '../services/wait';

export const NODES = [0, 1, 2];
/** All nodes have the same ports at addresses of their own. */
const PORT = PORTS + 43;
const STORAGE_PORT = PORTS + 701;
const KEYSPACE = 'offline';
const WAIT_MS = 90_000;
/** The node that the others ask for each other. */
const SEED = `${hostOf(0)}:${STORAGE_PORT}`;

function hostOf(node: number): string {
  return `127.0.0.${node + 1}`;
}
const serviceOf = (node: number): string => `cassandra-cluster-${node}`;

/** A Cassandra of three nodes on this machine, and a keyspace of which each node has a replica. Its nodes may be killed. */
export class CassandraCluster {
  readonly url = `cassandra://${NODES.map((node) => `${hostOf(node)}:${PORT}`).join(',')}/${KEYSPACE}?dc=${CASSANDRA_DATACENTER}`;

  /** Starts with empty nodes, also when an interrupted run has left its own. */
  async start(): Promise<void> {
    await this.stop();
    for (const node of NODES) {
      await this.startNode(node);
      for (const other of NODES.slice(0, node + 1)) await eventually(WAIT_MS, () => expectPeers(other, node));
    }
    const replication = `{'class': 'NetworkTopologyStrategy', '${CASSANDRA_DATACENTER}': ${NODES.length}}`;
    await eventually(WAIT_MS, () => ask(0, `CREATE KEYSPACE IF NOT EXISTS ${KEYSPACE} WITH replication = ${replication}`));
  }

  /** Returns when the node takes clients. The other nodes may not know it yet. */
  startNode(node: number): Promise<void> {
    return startCassandraNode({
      ...{ service: serviceOf(node), host: hostOf(node), port: PORT, storagePort: STORAGE_PORT, seed: SEED, megabytes: 512 },
      configuration: {
        cluster_name: 'test of a cluster',
        // There is no data yet that a new node would have to fetch.
        auto_bootstrap: false,
        hinted_handoff_enabled: true,
        // Cassandra's own defaults: a killed node loses the last moments, and the other replicas have them.
        ...{ commitlog_sync: 'periodic', commitlog_sync_period: '10s' },
      },
    });
  }

  async kill(node: number): Promise<void> {
    await stopService(serviceOf(node), 'SIGKILL');
  }

  /** Waits until the node knows that all nodes are up, or that one is down, so that it asks that one no longer. */
  async sees(node: number, state: 'all up' | 'one down'): Promise<void> {
    await until(`node ${node}, asked for "${state}",`, WAIT_MS, async () => ((await stateSeenBy(node)) === state ? 'done' : 'again'));
  }

  /** Kills all nodes and deletes what they have stored. */
  async stop(): Promise<void> {
    await Promise.all(NODES.map((node) => this.kill(node)));
    for (const node of NODES) rmSync(join(DIRECTORY, serviceOf(node)), { recursive: true, force: true });
  }
}

async function expectPeers(node: number, count: number): Promise<void> {
  const { rowLength } = await ask(node, 'SELECT peer FROM system.peers');
  if (rowLength !== count) throw new Error(`node ${node} knows ${rowLength} of ${count} other nodes`);
}

/**
 * A node refuses at once a read for which it knows too few nodes. While it still asks a dead one, the read takes its
 * time and fails otherwise.
 */
async function stateSeenBy(node: number): Promise<'all up' | 'one down' | null> {
  try {
    await ask(node, `SELECT version FROM ${KEYSPACE}.mqtt_offline_migration`, types.consistencies.all);
    return 'all up';
  } catch (error) {
    return error instanceof errors.ResponseError && error.code === types.responseErrorCodes.unavailableException ? 'one down' : null;
  }
}

/** Asks this node and no other. */
async function ask(node: number, statement: string, consistency = types.consistencies.one): Promise<types.ResultSet> {
  const address = `${hostOf(node)}:${PORT}`;
  const client = new Client({
    contactPoints: [address],
    localDataCenter: CASSANDRA_DATACENTER,
    policies: {
      loadBalancing: new policies.loadBalancing.AllowListPolicy(new policies.loadBalancing.RoundRobinPolicy(), [address]),
      retry: new policies.retry.FallthroughRetryPolicy(),
    },
    pooling: { warmup: false },
    queryOptions: { consistency },
  });
  try {
    return await client.execute(statement);
  } finally {
    await client.shutdown();
  }
}
