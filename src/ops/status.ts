import { within } from '../base/deadline';
import { errorText } from '../base/errors';
import type { EmqxApi } from '../emqx/api';
import type { HistorySink } from '../history/history';
import type { ReadinessCheck, Stats } from '../http/services';
import type { LetterBox } from '../dead-letters/box';
import type { Lanes } from '../lanes/lanes';
import type { QueueBackend } from '../lanes/backend';
import type { Store } from '../stores/store';
import type { Rates } from './rates';

export interface ReadinessDeps {
  readonly store: Pick<Store, 'health'>;
  readonly queue: Pick<QueueBackend, 'health'>;
  readonly history: readonly Pick<HistorySink, 'name' | 'health'>[];
  /** null if EMQX_API_KEY is not set. */
  readonly emqx: Pick<EmqxApi, 'health'> | null;
  /**
   * A text about events that were rejected because of their token; null if there were none within the last 15 minutes.
   */
  readonly refusedTokens: string | null;
  /** What the server waits for at its start; null when the start is complete. */
  readonly waitingFor: string | null;
}

export interface StatsDeps {
  readonly store: Pick<Store, 'countMessages' | 'oldestMessageAt'>;
  /** `lanes` and `letters` throw while the queue is not open. */
  readonly lanes: () => Pick<Lanes, 'counts'>;
  readonly letters: () => Pick<LetterBox, 'count'>;
  readonly rates: Rates;
  readonly version: string;
  /** When the process started, and the time of now (ms). */
  readonly startedAt: number;
  readonly now: number;
  /** Removes secrets from a text. */
  readonly hide: (text: string) => string;
}

export const NO_API_KEY = 'EMQX_API_KEY and EMQX_API_SECRET are not set: messages are stored and nothing can be delivered';

/** The name of the check that is shown only if events were rejected because of their token. */
export const REFUSED_TOKENS = 'events';

/** Checks all dependencies in parallel. */
export async function readiness({ store, history, queue, emqx, refusedTokens, waitingFor }: ReadinessDeps): Promise<ReadinessCheck[]> {
  const checks = [
    { name: 'store', health: store.health() },
    ...history.map((sink) => ({ name: `history ${sink.name}`, health: sink.health() })),
    { name: 'queue', health: queue.health() },
    { name: 'emqx', health: emqx?.health() ?? Promise.resolve({ ok: false, detail: NO_API_KEY }) },
  ];
  const answers = await Promise.all(checks.map(async ({ name, health }) => ({ name, ...(await health) })));
  // This check is always ok. Anybody who reaches the port can send a wrong token, and a failed check would take the
  // server out of a load balancer.
  const refused = refusedTokens === null ? [] : [{ name: REFUSED_TOKENS, ok: true, detail: refusedTokens }];
  const start = waitingFor === null ? [] : [{ name: 'start', ok: false, detail: waitingFor }];
  return [...answers, ...refused, ...start];
}

/**
 * How long the statistics wait for one number (ms). A database that does not answer must not delay the other numbers
 * for longer.
 */
const PATIENCE_MS = 3_000;

/** Does not reject. Numbers that the store or the queue does not return are null, and `problems` says why. */
export async function stats({ store, lanes, letters, rates, version, startedAt, now, hide }: StatsDeps): Promise<Stats> {
  const problems = new Map<'store' | 'queue', string>();
  const orNull = async <T>(name: 'store' | 'queue', read: () => Promise<T>): Promise<T | null> => {
    try {
      return await within(PATIENCE_MS, read(), () => new Error(`no answer within ${PATIENCE_MS / 1_000} s`));
    } catch (error) {
      problems.set(name, hide(errorText(error)));
      return null;
    }
  };
  const [messages, oldest, counts, deadLetters, perSecond] = await Promise.all([
    orNull('store', async () => store.countMessages()),
    orNull('store', async () => store.oldestMessageAt(now)),
    orNull('queue', async () => lanes().counts()),
    orNull('queue', async () => letters().count()),
    rates.perSecond(),
  ]);
  return {
    version,
    uptime_s: Math.max(0, Math.floor((now - startedAt) / 1_000)),
    messages,
    oldest_message_at: oldest,
    dead_letters: deadLetters,
    lanes: counts,
    rates: perSecond,
    problems: [...problems].map(([name, detail]) => ({ name, detail })),
  };
}
