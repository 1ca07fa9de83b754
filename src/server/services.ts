import type { Config } from '../config/config';
import { VERSION } from '../base/version';
import type { Metrics } from '../base/metrics';
import type { Arrivals } from '../door/arrivals';
import type { RefusedTokens } from '../door/refused-tokens';
import type { EmqxApi } from '../emqx/api';
import type { HttpServices } from '../http/services';
import { Rates } from '../ops/rates';
import type { Secrets } from '../ops/secrets';
import { setupOf } from '../ops/setup';
import { readiness, stats } from '../ops/status';
import { retainOf } from '../policies/policy';
import type { Backends } from './backends';
import type { Core } from './core';

export interface ServiceParts {
  readonly config: Config;
  readonly backends: Backends;
  readonly emqx: EmqxApi | null;
  readonly metrics: Metrics;
  readonly arrivals: Arrivals;
  readonly refusedTokens: RefusedTokens;
  readonly secrets: Secrets;
  /** What the store answers to oldestMessageAt(), kept for a while. */
  readonly oldestMessageAt: () => Promise<number | null>;
  /** Throws while the queue is not open. */
  readonly core: () => Core;
  /** What the server waits for at its start; null when the start is complete. */
  readonly waitingFor: () => string | null;
  readonly now: () => number;
}

/** What the HTTP endpoints use of the server. */
export function servicesOf(parts: ServiceParts): HttpServices {
  const { config, emqx, metrics, secrets, core, now } = parts;
  const { store, history, queue } = parts.backends;
  const rates = new Rates(metrics, now);
  const startedAt = now();
  return {
    store,
    metrics,
    ingest: opened(() => core().ingest),
    deliveries: {
      request: async (clientid, filter) => core().requestDelivery(clientid, filter),
      outcome: async (id) => {
        const found = await core().outcomes.delivery(id);
        return found === null
          ? null
          : { id, clientid: found.clientid, topic: found.filter, state: found.state, sent: found.sent, detail: found.detail };
      },
    },
    retained: {
      restore: async (filter) => core().requestRestore(filter),
      outcome: async (id) => {
        const found = await core().outcomes.restore(id);
        return found === null ? null : { id, ...found };
      },
      isKept: (topic) => retainOf(config.policies, topic) !== 'off',
    },
    clients: opened(() => core().clients),
    deadLetters: opened(() => core().letters),
    stats: () =>
      stats({
        store: { countMessages: () => store.countMessages(), oldestMessageAt: parts.oldestMessageAt },
        rates,
        lanes: () => core().lanes,
        letters: () => core().box,
        version: VERSION,
        startedAt,
        now: now(),
        hide: (text) => secrets.hide(text),
      }),
    setup: (wish) => ({
      ...setupOf(config, wish),
      lastEventAt: parts.arrivals.lastAt,
      eventsAccepted: parts.arrivals.count,
      refused: parts.refusedTokens.detail(),
    }),
    readiness: async () => {
      const refusedTokens = parts.refusedTokens.detail();
      const checks = await readiness({ store, history, queue, emqx, refusedTokens, waitingFor: parts.waitingFor() });
      return checks.map((check) => ({ ...check, detail: secrets.hide(check.detail) }));
    },
  };
}

/**
 * An object that forwards its methods to the object that `get` returns. While `get` throws, the methods reject with its
 * error.
 */
function opened<T extends object>(get: () => T): T {
  const call =
    (name: string | symbol) =>
    async (...args: unknown[]) => {
      const target = get() as Record<string | symbol, (...args: unknown[]) => unknown>;
      return target[name]?.(...args);
    };
  return new Proxy({} as T, { get: (_, name) => call(name) });
}
