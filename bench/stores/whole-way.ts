import { backendUrl } from '../../test/support/backends';
import { emptyRedis } from '../../test/support/redis';
import { offer } from '../offer';
import { BenchServer } from '../server';

const SECONDS = Number(process.env['SECONDS'] ?? 6);
const WARM_UP_SECONDS = 2;
const PORT = 18_481;
const SHAPE = { connections: 64, pipelining: 2, topics: 100 } as const;

/**
 * Events through the compiled server's HTTP endpoint, its queue on Redis and the store.
 * @returns stored messages per second, from the first request until the last message is stored.
 */
export async function wholeWay(storeUrl: string): Promise<number> {
  const redis = backendUrl('redis');
  if (redis === null) throw new Error('npm run services -- redis');
  await emptyRedis(`${redis}/14`);
  const server = await BenchServer.start(PORT, storeUrl === 'embedded:' ? {} : { STORE_URL: storeUrl, QUEUE_URL: `${redis}/14` });
  await offer({ port: PORT, ...SHAPE, seconds: WARM_UP_SECONDS });
  await server.drained();
  const start = performance.now();
  const { accepted } = await offer({ port: PORT, ...SHAPE, seconds: SECONDS });
  await server.drained();
  const seconds = (performance.now() - start) / 1_000;
  await server.stop();
  return accepted / seconds;
}
