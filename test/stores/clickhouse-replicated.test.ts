import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseServiceUrl } from '../../src/config/url';
import { RefusedError } from '../../src/base/errors';
import { ClickHouseStore } from '../../src/stores/clickhouse';

interface Answers {
  readonly cloudMode?: string;
  readonly database?: string;
  /** Engines of the tables that are there, by name. */
  readonly tables?: Readonly<Record<string, string>>;
  readonly version?: number;
}

/** A ClickHouse of which only the system tables are there. It notes every statement that is no SELECT. */
class Stub {
  readonly changes: string[] = [];
  private readonly server: Server;

  constructor(private readonly answers: Answers) {
    this.server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request
        .on('data', (chunk: Buffer) => chunks.push(chunk))
        .on('end', () => {
          const query = `${new URL(request.url ?? '/', 'http://h').searchParams.get('query') ?? ''}${Buffer.concat(chunks).toString()}`;
          response.end(
            this.rowsOf(query)
              .map((row) => `${JSON.stringify(row)}\n`)
              .join(''),
          );
        });
    });
  }

  async start(): Promise<ClickHouseStore> {
    await once(this.server.listen(0, '127.0.0.1'), 'listening');
    return new ClickHouseStore(parseServiceUrl(`clickhouse://127.0.0.1:${(this.server.address() as AddressInfo).port}`, ['clickhouse']));
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }

  private rowsOf(query: string): object[] {
    const { cloudMode, database = 'Atomic', tables = {}, version = 0 } = this.answers;
    if (!query.startsWith('SELECT')) this.changes.push(query);
    if (query.includes("'cloud_mode'")) return cloudMode === undefined ? [] : [{ value: cloudMode }];
    if (query.includes('system.databases')) return [{ engine: database }];
    if (query.includes("name = 'mqtt_offline_migration'")) return [{ n: version > 0 ? 1 : 0 }];
    if (query.includes('max(version)')) return [{ version }];
    if (query.includes('system.tables')) return Object.entries(tables).map(([name, engine]) => ({ name, engine }));
    return [];
  }
}

// The guard is refuseReplicas at the start of Migrations.run.
it.each<[string, Answers, RegExp]>([
  [
    'ClickHouse Cloud',
    { cloudMode: '1' },
    /^this is ClickHouse Cloud: the store needs one ClickHouse server .*another database for STORE_URL; nothing was changed$/,
  ],
  ['a Shared database', { cloudMode: '0', database: 'Shared' }, /^the database is of the kind Shared: /],
  ['a Replicated database', { database: 'Replicated' }, /^the database is of the kind Replicated: /],
  ['a SharedMergeTree', { tables: { mqtt_msg: 'SharedMergeTree' } }, /^mqtt_msg is a table of the kind SharedMergeTree: /],
  [
    'a ReplicatedReplacingMergeTree',
    { tables: { mqtt_msg: 'MergeTree', mqtt_acked: 'ReplicatedReplacingMergeTree' } },
    /^mqtt_acked is a table of the kind ReplicatedReplacingMergeTree: /,
  ],
  [
    'one that an earlier release has filled',
    { cloudMode: '1', version: 99, tables: { mqtt_msg: 'SharedMergeTree' } },
    /^this is ClickHouse Cloud: /,
  ],
])('a migration is rejected before any change: %s', async (_name, answers, reason) => {
  const stub = new Stub(answers);
  const store = await stub.start();
  for (let time = 0; time < 2; time++) {
    const error: unknown = await store.migrate().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RefusedError);
    expect((error as Error).message).toMatch(reason);
  }
  await store.close();
  await stub.stop();
  expect(stub.changes).toEqual([]);
});
