import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { as, ownDirectory, serviceDirectory, userNamed } from '../services/files';
import { postgresBin } from '../services/postgres';
import { postgresUrl, startCluster, type Cluster } from '../services/postgres-cluster';
import { stopService } from '../services/processes';
import { run } from '../services/run';
import { HOST } from '../services/service';
import { freePort } from './process';
import { waitFor } from './wait';

/** A PostgreSQL and its synchronous standby. Both are the test's own, because one of them dies. */
export class PostgresPair {
  private constructor(
    private readonly primary: Cluster,
    private readonly standby: Cluster,
  ) {}

  static async start(): Promise<PostgresPair> {
    const common = { database: 'offline', bin: postgresBin, identity: userNamed('postgres') };
    const own = async (role: string): Promise<Cluster> => ({ ...common, service: `pair-${role}-${process.pid}`, port: await freePort() });
    const pair = new PostgresPair(await own('primary'), await own('standby'));
    await startCluster(pair.primary);
    await pair.copy();
    await startCluster(pair.standby);
    // The standby was copied before this, so that it waits for nobody when it is promoted.
    await ask(pair.primaryUrl, `ALTER SYSTEM SET synchronous_standby_names = '*'`);
    await ask(pair.primaryUrl, 'SELECT pg_reload_conf()');
    await waitFor('the standby to follow', async () => {
      const [row] = await ask(pair.primaryUrl, 'SELECT sync_state FROM pg_stat_replication');
      return row?.['sync_state'] === 'sync';
    });
    return pair;
  }

  private async copy(): Promise<void> {
    const { standby, primary } = this;
    const folder = ownDirectory(join(serviceDirectory(standby.service)), standby.identity);
    const from = `host=${HOST} port=${primary.port} user=postgres password=postgres`;
    const args = ['-d', from, '-D', join(folder, 'data'), '-R', '-X', 'stream', '-c', 'fast'];
    await run(...as(standby.identity, join(standby.bin, 'pg_basebackup'), args), { cwd: folder });
  }

  get primaryUrl(): string {
    return postgresUrl(this.primary);
  }

  get standbyUrl(): string {
    return postgresUrl(this.standby);
  }

  /** The primary ends at once, in the middle of what it does. */
  crashPrimary(): Promise<void> {
    return stopService(this.primary.service, 'SIGQUIT');
  }

  async promoteStandby(): Promise<void> {
    await ask(this.standbyUrl, 'SELECT pg_promote(true, 30)');
  }

  async stop(): Promise<void> {
    for (const { service } of [this.primary, this.standby]) {
      await stopService(service, 'SIGQUIT');
      rmSync(serviceDirectory(service), { recursive: true, force: true });
    }
  }
}

async function ask(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}
