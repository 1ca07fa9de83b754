import type { Backends } from '../server/backends';
import type { ServiceUrl } from '../config/url';
import { errorText } from '../base/errors';
import type { Weakness } from '../base/health';
import type { QueueBackend } from '../lanes/backend';
import { connectRedis } from '../redis/connect';
import { weaknessesOf } from '../redis/durability';
import { probeStore } from '../stores/probe';
import type { Store } from '../stores/store';
import { ok, problem, warning, type Finding } from './finding';

export async function* checkDatabases({ queue, store, history }: Backends, storeUrl: ServiceUrl): AsyncGenerator<Finding> {
  yield* checkQueue(queue);
  yield* checkStore(store, storeUrl);
  for (const sink of history) {
    const { ok: isOk, detail } = await sink.health();
    yield isOk
      ? ok(`history ${sink.name}`, detail)
      : problem(`history ${sink.name}`, detail, 'start it, correct HISTORY_URLS, or run emqx-offline-store migrate');
  }
}

async function* checkQueue(queue: QueueBackend): AsyncGenerator<Finding> {
  const { ok: isOk, detail } = await queue.health();
  if (!isOk) return yield problem('queue', detail, 'start it, or correct QUEUE_URL; until then every event gets 503 and waits in EMQX');
  const weaknesses = await queue.weaknesses();
  yield* weaknesses.length === 0 ? [ok('queue', detail)] : warningsOf('queue', detail, weaknesses);
}

async function* checkStore(store: Store, url: ServiceUrl): AsyncGenerator<Finding> {
  const { ok: isOk, detail } = await store.health();
  if (!isOk)
    return yield problem(
      'store',
      detail,
      'start it, correct STORE_URL, or run emqx-offline-store migrate; until then events wait in the queue',
    );
  try {
    await probeStore(store);
  } catch (error) {
    return yield problem(
      'store',
      `${detail}, but a message can't be written, read and removed: ${errorText(error)}`,
      'give the user of STORE_URL these rights',
    );
  }
  const weaknesses = url.scheme.startsWith('redis') ? await redisWeaknesses(url) : [];
  yield* weaknesses.length === 0
    ? [ok('store', `${detail}; a message was written, read and removed`)]
    : warningsOf('store', detail, weaknesses);
}

async function redisWeaknesses(url: ServiceUrl): Promise<Weakness[]> {
  const connection = connectRedis(url, 'STORE_URL', { maxRetriesPerRequest: 1 });
  // The command itself fails, too.
  connection.on('error', () => undefined);
  try {
    await connection.ping();
    return await weaknessesOf(connection);
  } finally {
    connection.disconnect();
  }
}

function warningsOf(about: string, detail: string, weaknesses: readonly Weakness[]): Finding[] {
  return weaknesses.map(({ text, remedy }) => warning(about, `${detail}: ${text}`, remedy));
}
