import { isNoBug, isRetryable, reporting, unhealthy } from '../base/dependency';
import { checked, Dependency } from '../base/dependency-log';
import type { Logger } from '../base/log';
import type { EmqxApi, PublishOutcome } from '../emqx/api';
import type { HistorySink } from '../history/history';
import type { QueueBackend } from '../lanes/backend';
import { probeStore } from '../stores/probe';
import type { Store } from '../stores/store';

/**
 * After this time (ms) the health check is run, because a slow statement may be a large one or a database that is away.
 */
const SLOW_MS = 3_000;

/** A store that answers but takes no writes counts as away. Examples: its disk is full, or a right is missing. */
export function storeDependency(store: Store, log: Logger): Dependency {
  return new Dependency({
    ...{ name: 'store', setting: 'STORE_URL', slowAfterMs: SLOW_MS, log },
    consequence: 'events are kept in the queue and will be written when it is back',
    check: checked(
      'STORE_URL',
      () => store.health(),
      () => probeStore(store),
    ),
  });
}

export function queueDependency(queue: QueueBackend, log: Logger): Dependency {
  return new Dependency({
    ...{ name: 'queue', setting: 'QUEUE_URL', log },
    consequence: 'events are answered 503, and EMQX sends them again until it is back',
    check: () => queue.health(),
  });
}

export function historyDependency(sink: HistorySink, log: Logger): Dependency {
  return new Dependency({
    ...{ name: `history ${sink.name}`, setting: 'HISTORY_URLS', slowAfterMs: SLOW_MS, log },
    consequence: 'its messages are kept in the queue and will be appended when it is back',
    check: () => sink.health(),
  });
}

export function emqxDependency(emqx: EmqxApi, log: Logger): Dependency {
  return new Dependency({
    ...{ name: 'EMQX', setting: 'EMQX_URL', log },
    consequence: 'messages are stored, and will be delivered when it is back',
    check: async () => {
      const health = await emqx.health();
      return { ...health, answers: /EMQX answered \d|answered 404|refused by EMQX/.test(health.detail) };
    },
  });
}

/** Reports the errors of a queue. Queues, sources and shared state throw the errors of their client libraries. */
export function reportingQueue(queue: QueueBackend, dependency: Dependency): QueueBackend {
  const watch = <T extends object>(target: T): T => reporting(target, dependency, isNoBug);
  const [state, sequence] = [watch(queue.state), watch(queue.sequence)];
  const { laneCounts, shared } = queue;
  const { migrationPlan, prepare, health, weaknesses, close } = reporting(queue, dependency, isNoBug, { health: unhealthy });
  return {
    ...{ state, sequence, laneCounts, shared, migrationPlan, prepare, health, weaknesses, close },
    queue: (name) => watch(queue.queue(name)),
    source: (name) => watch(queue.source(name)),
  };
}

/**
 * Reports the errors of EMQX. A publish resolves even if EMQX was away for some of its messages, so its outcomes are
 * checked too.
 */
export function reportingEmqx(emqx: EmqxApi, dependency: Dependency): EmqxApi {
  const watched = reporting(emqx, dependency, isRetryable, { health: unhealthy, publish: unsentOf });
  if (emqx.retainer === undefined) return watched;
  const retainer = reporting(emqx.retainer, dependency, isRetryable);
  return Object.create(watched, { retainer: { value: retainer } }) as EmqxApi;
}

function unsentOf(outcomes: readonly PublishOutcome[]): unknown {
  for (const outcome of outcomes) if (outcome.result === 'unsent') return outcome.error;
  return null;
}

/**
 * The log message about an EMQX that answers. Example: `EMQX_URL: EMQX 5.8.9 at http://127.0.0.1:18083/api/v5 answers,
 * 1 node`.
 * @param detail the detail of EMQX's health check.
 */
export function emqxAnswers(detail: string, url: string): string {
  const [, version, nodes = '1 node'] = /^(EMQX \d[^,;]*)(?:, (.*))?$/.exec(detail) ?? [];
  return version === undefined ? `EMQX_URL: ${detail}` : `EMQX_URL: ${version} at ${url} answers, ${nodes}`;
}
