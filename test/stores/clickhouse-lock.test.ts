import { setTimeout as sleep } from 'node:timers/promises';
import { RetryableError } from '../../src/base/errors';
import { Client } from '../../src/stores/clickhouse/client';
import { mapError } from '../../src/stores/clickhouse/errors';
import { BEAT_MS, underLock } from '../../src/stores/clickhouse/lock';
import { withBackends } from '../support/backends';
import { CLICKHOUSES, clickHouseUrl, emptyClickHouse, Sql } from '../support/clickhouse';

describe.each(CLICKHOUSES)('the lock of the migrations on %s', (backend) => {
  withBackends([backend], (urls) => {
    // The guard is the name of the owner's column. A sign of life in the successor's table would make both of them work.
    it('promise 21: a process that stood still neither goes on beside its successor nor ends its lock', async () => {
      const url = await emptyClickHouse(urls[backend], 'offline_lock');
      const [first, second, sql] = [new Client(clickHouseUrl(url)), new Client(clickHouseUrl(url)), new Sql(url)];
      let firstEnds = (): void => undefined;
      const firstHasEnded = new Promise<void>((resolve) => (firstEnds = resolve));
      const worked: string[] = [];
      let later: Promise<void> = Promise.resolve();
      const stoodStill = underLock(first, async (isOurs) => {
        await isOurs();
        // What the successor does when it takes this process for dead.
        await sql.run('DROP TABLE mqtt_offline_lock');
        const successor = underLock(second, async (isStillOurs) => {
          await firstHasEnded;
          await isStillOurs();
          worked.push('second');
        });
        await sleep(BEAT_MS + 1_000);
        try {
          await isOurs();
          worked.push('first');
        } finally {
          later = successor;
        }
      });
      await expect(stoodStill).rejects.toThrow(RetryableError);
      firstEnds();
      await later;
      expect(worked).toEqual(['second']);
      expect(await sql.rows(`SELECT 1 FROM system.tables WHERE database = currentDatabase() AND name = 'mqtt_offline_lock'`)).toEqual([]);
      await Promise.all([first.close(), second.close(), sql.close()]);
    });

    // The guard is TABLE_IS_DROPPED. The server's answer comes only if the drop is within the query.
    it('is taken by a process that looks whether its holder is alive while the holder ends it', async () => {
      const url = await emptyClickHouse(urls[backend], 'offline_lock_dropped');
      const [client, sql] = [new Client(clickHouseUrl(url)), new Sql(url)];
      await sql.run('CREATE TABLE mqtt_offline_lock (other UInt8, at DateTime DEFAULT now()) ENGINE = MergeTree ORDER BY at');
      const count = client.count.bind(client);
      let drops = 0;
      client.count = async (query) => {
        if (!query.includes('max(at)') || drops++ > 0) return count(query);
        await sql.run('DROP TABLE mqtt_offline_lock');
        throw mapError(new Error('Code: 218. DB::Exception: Table is dropped. (TABLE_IS_DROPPED)'));
      };
      let worked = 0;
      await underLock(client, async (isOurs) => {
        await isOurs();
        worked++;
      });
      expect([drops, worked]).toEqual([1, 1]);
      await Promise.all([client.close(), sql.close()]);
    });
  });
});
