import { RefusedError } from '../../src/base/errors';
import type { Database } from '../../src/stores/cassandra/database';
import { Migrations } from '../../src/stores/cassandra/migrations';
import { productProblem } from '../../src/stores/cassandra/product';

interface Cluster {
  readonly local: string;
  readonly peers?: readonly (string | null)[];
  readonly scylla?: boolean;
}

/** A keyspace without tables of ours. It notes every statement that would change something. */
function databaseOf({ local, peers = [], scylla = false }: Cluster): { db: Database; changes: string[] } {
  const changes: string[] = [];
  const change = (cql: string): Promise<null> => {
    changes.push(cql);
    return Promise.reject(new Error('stop here'));
  };
  const rows = (cql: string): Promise<object[]> => {
    if (cql.includes("'scylla_local'")) return Promise.resolve(scylla ? [{ table_name: 'scylla_local' }] : []);
    if (cql.includes('system.local')) return Promise.resolve([{ release_version: local }]);
    if (cql.includes('system.peers')) return Promise.resolve(peers.map((release_version) => ({ release_version })));
    return Promise.resolve([]);
  };
  return { db: { keyspace: 'k', rows, define: change, write: change, conditionally: change } as unknown as Database, changes };
}

// The guard is refuseProduct in Migrations.run.
it.each<[string, Cluster, RegExp]>([
  [
    'Cassandra 4.0',
    { local: '4.0.11' },
    /^this is Cassandra 4\.0\.11: the store needs Cassandra 4\.1 or newer on all nodes; upgrade it, .*; nothing was changed$/,
  ],
  ['Cassandra 3', { local: '3.11.4' }, /^this is Cassandra 3\.11\.4: /],
  ['a cluster that is being upgraded', { local: '4.1.3', peers: [null, '4.0.11'] }, /^this is Cassandra 4\.0\.11: /],
  ['ScyllaDB', { local: '3.0.8', scylla: true }, /^this is ScyllaDB: the store needs Cassandra 4\.1 or newer; .*; nothing was changed$/],
])('a migration is rejected before any change: %s', async (_name, cluster, reason) => {
  const { db, changes } = databaseOf(cluster);
  const error: unknown = await new Migrations(db).run().catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(RefusedError);
  expect((error as Error).message).toMatch(reason);
  expect(changes).toEqual([]);
});

it.each(['4.1', '4.1-SNAPSHOT', '4.1.3', '5.0.5', '5.1-alpha1', '10.0', 'unknown'])('Cassandra %s is taken', async (local) => {
  const { db, changes } = databaseOf({ local, peers: ['4.1.0'] });
  expect(await productProblem(db)).toBeNull();
  await expect(new Migrations(db).run()).rejects.toThrow('stop here');
  expect(changes).not.toEqual([]);
});
