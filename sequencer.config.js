const Sequencer = require('@jest/test-sequencer').default;

/**
 * The files that take longest. Those that compute (the embedded database runs in the test's own process) take turns with those that wait for a
 * server, so that the processors are busy all the time and no test's clock stands still for long.
 */
const FIRST = [
  'e2e/embedded.test.ts',
  'e2e/emqx4.test.ts',
  'e2e/stores-documents.test.ts',
  'e2e/stores-clickhouse.test.ts',
  'server/process.test.ts',
  'console/console.test.ts',
  'pack/tarball.test.ts',
  'stores/cassandra-takeover.test.ts',
  'e2e/stores-redis.test.ts',
  'chaos/chaos.test.ts',
  'stores/dynamodb-takeover.test.ts',
  'e2e/stores-sql.test.ts',
  'mailbox/pubsub.property.test.ts',
  'stores/dynamodb.test.ts',
  'server/stop.test.ts',
  'server/secrets.test.ts',
  'e2e/stores-mysql.test.ts',
  'e2e/pacing.test.ts',
  'stores/embedded.test.ts',
  'stores/clickhouse.test.ts',
  'lanes/half-open.test.ts',
  'mailbox/seams.property.test.ts',
  'stores/clickhouse-takeover.test.ts',
  'e2e/restore.test.ts',
  'ops/doctor.test.ts',
  'stores/mongodb-standin.test.ts',
  'stores/mongodb.test.ts',
  'stores/cassandra.test.ts',
  'e2e/clients-docs.test.ts',
];

/**
 * Without its cache, as on a new machine, jest begins with the largest files. The slowest ones are small and would run alone in the end. Example:
 * e2e/embedded.test.ts has 4 lines and takes more than a minute.
 */
module.exports = class extends Sequencer {
  sort(tests) {
    const rank = ({ path }) => {
      const index = FIRST.findIndex((name) => path.endsWith(`/test/${name}`));
      return index === -1 ? FIRST.length : index;
    };
    return [...super.sort(tests)].sort((a, b) => rank(a) - rank(b));
  }
};
