import { Client } from 'pg';
import { loadConfig } from '../../src/config/load';
import { createLogger } from '../../src/base/log';
import { Server } from '../../src/server/server';
import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { temporaryDirectory } from '../support/temp';
import { waitFor } from '../support/wait';

/** The most connections that a server may hold to its queue. */
const MOST = 12;

withBackends(['postgres', 'redis'], ({ postgres }) => {
  // The guard is that all of BullMQ's queues share one backend: each worker had connections of its own, 48 in all.
  it('a server with its queue on PostgreSQL opens few connections and reports the lag', async () => {
    const queue = await emptyDatabase(postgres, 'offline_connections');
    const directory = temporaryDirectory();
    const config = loadConfig({
      QUEUE_URL: queue,
      STORE_URL: await emptyDatabase(postgres, 'offline_connections_store'),
      DATA_DIR: directory.path,
      PORT: '0',
    });
    const server = await Server.start(config, createLogger({ level: 'silent' }), (error) => {
      throw error;
    });
    const client = new Client({ connectionString: postgres });
    try {
      await server.ready();
      await client.connect();
      const held = async () => {
        const { rows } = await client.query<{ n: string }>(
          `SELECT count(*) AS n FROM pg_stat_activity WHERE datname = 'offline_connections'`,
        );
        return Number(rows[0]?.n);
      };
      expect(await held()).toBeGreaterThan(0);
      let most = 0;
      const event = (i: number) => ({
        event: 'message.publish',
        id: `M${i}`,
        clientid: 'c',
        topic: `t/${i}`,
        qos: 1,
        payload: 'x',
        timestamp: Date.now(),
      });
      for (let round = 0; round < 10; round++) {
        const posts = Array.from({ length: 100 }, (_, i) =>
          fetch(`${server.url}/v1/events`, {
            method: 'POST',
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify(event(round * 100 + i)),
          }),
        );
        most = Math.max(most, await held());
        expect((await Promise.all(posts)).map(({ status }) => status)).toEqual(posts.map(() => 202));
      }
      expect(Math.max(most, await held())).toBeLessThanOrEqual(MOST);

      // How long accepted events wait is measured, too.
      const lag = await waitFor('the lag of the queue', async () => {
        const metrics = await (await fetch(`${server.url}/metrics`)).text();
        const [count, sum] = ['count', 'sum'].map((part) =>
          Number(new RegExp(`^emqx_offline_queue_lag_seconds_${part} (\\S+)`, 'm').exec(metrics)?.[1]),
        );
        return count !== undefined && sum !== undefined && count >= 10 ? sum / count : null;
      });
      expect(lag).toBeGreaterThan(0);
      expect(lag).toBeLessThan(30);
    } finally {
      await client.end();
      await server.stop();
      directory.remove();
    }
  });
});
