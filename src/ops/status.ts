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
  readonly store: Pick<Store, 'countMessages'>;
  readonly lanes: Pick<Lanes, 'counts'>;
  readonly letters: Pick<LetterBox, 'count'>;
  readonly rates: Rates;
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

export async function stats({ store, lanes, letters, rates }: StatsDeps): Promise<Stats> {
  const [messages, counts, deadLetters] = await Promise.all([store.countMessages(), lanes.counts(), letters.count()]);
  return { messages, dead_letters: deadLetters, lanes: counts, rates: await rates.perSecond() };
}
