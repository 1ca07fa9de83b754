import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { serviceDirectory } from './files';
import { isRunning, startProcess } from './processes';
import { expectAnswer, installRedis, redisCli, SILENCE_MS, startRedis } from './redis-server';
import { HOST, PORTS, SETUP_MS, type Service } from './service';
import { eventually } from './wait';

const NAME = 'redis-sentinel';
const GROUP = 'mymaster';
const MASTER = PORTS + 384;
const REPLICA = PORTS + 385;
const SENTINELS = [PORTS + 386, PORTS + 387, PORTS + 388] as const;
const QUORUM = 2;

/** One master, one replica, three sentinels. */
export const redisSentinel: Service = {
  name: NAME,
  variables: { TEST_REDIS_SENTINEL_URL: `redis+sentinel://${SENTINELS.map((port) => `${HOST}:${port}`).join(',')}/${GROUP}` },
  install: installRedis,
  async start() {
    const fresh = !isRunning(NAME);
    await startRedis({ service: NAME, name: 'master', port: MASTER, args: ['--repl-diskless-sync-delay', '0'] });
    await startRedis({ service: NAME, name: 'replica', port: REPLICA, args: ['--replicaof', `${HOST} ${MASTER}`] });
    if (fresh) {
      // Sentinels ask for replicas at once and then every 10 s only: the replica must be there first.
      await eventually(SETUP_MS, () => expectAnswer(redisCli(MASTER, 'INFO', 'replication'), /state=online/));
      SENTINELS.forEach(writeConfiguration);
    }
    await Promise.all(
      SENTINELS.map((port) =>
        startProcess({ service: NAME, name: `sentinel-${port}`, command: 'redis-server', args: [configuration(port), '--sentinel'], port }),
      ),
    );
    await eventually(SETUP_MS, agree);
  },
  check: agree,
};

const configuration = (port: number): string => join(serviceDirectory(NAME), `sentinel-${port}.conf`);

/** Sentinels keep what they learn in this file, so each start of them all begins with a new one. */
function writeConfiguration(port: number): void {
  const lines = [
    `port ${port}`,
    `bind ${HOST}`,
    `dir ${serviceDirectory(NAME)}`,
    `sentinel monitor ${GROUP} ${HOST} ${MASTER} ${QUORUM}`,
    `sentinel down-after-milliseconds ${GROUP} ${SILENCE_MS}`,
  ];
  writeFileSync(configuration(port), `${lines.join('\n')}\n`);
}

/** A failover works once the sentinels have found each other and the replica. */
async function agree(): Promise<void> {
  await Promise.all(
    SENTINELS.map(async (port) => {
      await expectAnswer(redisCli(port, 'SENTINEL', 'CKQUORUM', GROUP), /^OK 3 usable/);
      await expectAnswer(redisCli(port, 'SENTINEL', 'REPLICAS', GROUP), /name\n127\.0\.0\.1/);
    }),
  );
}
