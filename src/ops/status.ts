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
  /** null: no EMQX_API_KEY. */
  readonly emqx: Pick<EmqxApi, 'health'> | null;
  /** Events that were refused for their token of late. */
  readonly refusedTokens: string | null;
  /** What the server still waits for at its start; null when it works. */
  readonly waitingFor: string | null;
}

export interface StatsDeps {
  readonly store: Pick<Store, 'countMessages' | 'oldestMessageAt'>;
  /** Throw while the queue is not open. */
  readonly lanes: () => Pick<Lanes, 'counts'>;
  readonly letters: () => Pick<LetterBox, 'count'>;
  readonly rates: Rates;
  readonly version: string;
  /** When the process started, and the time of now (ms). */
  readonly startedAt: number;
  readonly now: number;
  /** Takes what is secret out of a text. */
  readonly hide: (text: string) => string;
}

export const NO_API_KEY = 'EMQX_API_KEY and EMQX_API_SECRET are not set: messages are stored and nothing can be delivered';

/** The check that is there only when events were refused for their token. */
export const REFUSED_TOKENS = 'events';

/** One check per dependency, all at once. */
export async function readiness({ store, history, queue, emqx, refusedTokens, waitingFor }: ReadinessDeps): Promise<ReadinessCheck[]> {
  const checks = [
    { name: 'store', health: store.health() },
    ...history.map((sink) => ({ name: `history ${sink.name}`, health: sink.health() })),
    { name: 'queue', health: queue.health() },
    { name: 'emqx', health: emqx?.health() ?? Promise.resolve({ ok: false, detail: NO_API_KEY }) },
  ];
  const answers = await Promise.all(checks.map(async ({ name, health }) => ({ name, ...(await health) })));
  // Not a failure of the server: anybody who reaches its port can send a wrong token, and could otherwise have it taken out of a load balancer.
  const refused = refusedTokens === null ? [] : [{ name: REFUSED_TOKENS, ok: true, detail: refusedTokens }];
  const start = waitingFor === null ? [] : [{ name: 'start', ok: false, detail: waitingFor }];
  return [...answers, ...refused, ...start];
}

/** Numbers that nobody waits for longer: a database that does not answer must not hold up those that others have. ms. */
const PATIENCE_MS = 3_000;

/** Never rejects: what the store or the queue does not tell is null, and `problems` says why. */
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
