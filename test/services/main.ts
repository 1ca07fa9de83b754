/**
 * `npm run services [-- name ...]` starts the real servers that the tests use and prints how the tests find them; `npm run services -- stop`
 * ends them.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { postgres } from './postgres';
import { redis } from './redis';
import { redisCluster } from './redis-cluster';
import { redisSentinel } from './redis-sentinel';
import { redisTls } from './redis-tls';
import { DIRECTORY, prepareDirectory, stopAll, type Service } from './service';

const SERVICES: readonly Service[] = [postgres, redis, redisCluster, redisSentinel, redisTls];

async function main(names: readonly string[]): Promise<void> {
  if (names[0] === 'stop') return stopAll(DIRECTORY);
  const unknown = names.filter((name) => !SERVICES.some((service) => service.name === name));
  if (unknown.length > 0) throw new Error(`unknown: ${unknown.join(', ')}; there are ${SERVICES.map(({ name }) => name).join(', ')} and stop`);
  prepareDirectory(DIRECTORY);
  const chosen = SERVICES.filter(({ name }) => names.length === 0 || names.includes(name));
  await Promise.all(chosen.map((service) => service.start(DIRECTORY)));
  const variables = Object.assign({}, ...chosen.map((service) => service.variables)) as Record<string, string>;
  for (const [key, value] of Object.entries(variables)) process.stdout.write(`${key}=${value}\n`);
  writeFileSync(join(DIRECTORY, 'env.json'), JSON.stringify(variables));
}

main(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
