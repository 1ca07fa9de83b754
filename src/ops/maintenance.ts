import type { Policy } from '../config/policies';
import type { ReadPurger } from '../mailbox/positions/read-purger';
import type { Trimmer } from '../writes/trimmer';
import type { LetterBox } from '../dead-letters/box';
import type { SharedState } from '../lanes/state';
import type { Purged, Store } from '../stores/store';
import { dependencyOf, isExpected } from '../base/dependency';
import type { Logger } from '../base/log';
import type { Metrics } from '../base/metrics';

const EVERY_MS = 60_000;
/** The most rows that one delete removes. It is bounded so that a delete does not hold locks for long. */
const CHUNK = 1_000;
/**
 * How long one run deletes messages that everybody has read (ms). The rest of the minute is left for the other steps.
 */
const READ_MS = 40_000;
const DAY_MS = 24 * 60 * 60_000;
/**
 * The shortest time after which unused subscriptions, states and positions are deleted (ms). The time is twice the
 * longest ttl, if that is longer, because the messages have expired then.
 */
const LEAST_UNSEEN_MS = 14 * DAY_MS;
/**
 * The time after which the state of a connected client is deleted (ms). It is long, because a client may stay connected
 * for months without an event that changes its state.
 */
const CONNECTED_MS = 366 * DAY_MS;

export interface MaintenanceDeps {
  readonly store: Pick<Store, 'purgeExpired' | 'purgePositions' | 'purgeSubscriptions' | 'purgeClientStates'>;
  readonly state: Pick<SharedState, 'purge'>;
  readonly letters: Pick<LetterBox, 'purge'>;
  readonly readPurger: Pick<ReadPurger, 'run'>;
  readonly trimmer: Pick<Trimmer, 'sweep'>;
  readonly policies: readonly Policy[];
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly now: () => number;
}

/**
 * Deletes data that is no longer needed, in small steps. Every server process does it, because a process finds nothing
 * that another one has deleted already.
 */
export class Maintenance {
  private timer: NodeJS.Timeout | null = null;
  private running: Promise<void> | null = null;
  private stopped = false;

  constructor(private readonly deps: MaintenanceDeps) {}

  start(): void {
    this.timer = setInterval(() => {
      // While a run takes longer than a minute, the runs that are due meanwhile are left out.
      this.running ??= this.run().finally(() => (this.running = null));
    }, EVERY_MS);
    this.timer.unref();
  }

  async run(): Promise<void> {
    const { store, state, letters, trimmer, metrics, now } = this.deps;
    const unseen = now() - this.unseenMs();
    const steps: readonly (readonly [what: string, work: () => Promise<unknown>])[] = [
      ['expired messages', () => this.repeat(() => this.purgeExpired())],
      ['messages that everybody has read', () => this.purgeRead()],
      ['messages beyond maxStored', () => trimmer.sweep()],
      ['old subscriptions', () => this.repeat(() => store.purgeSubscriptions(unseen, CHUNK))],
      [
        'old client states',
        () =>
          this.repeat(() => store.purgeClientStates({ disconnected: unseen, connected: Math.min(unseen, now() - CONNECTED_MS) }, CHUNK)),
      ],
      ['old read positions', () => this.repeat(() => store.purgePositions(unseen, CHUNK))],
      ['shared state', () => this.repeat(async () => ({ more: await state.purge(CHUNK) }))],
      ['dead letters', async () => metrics.deadLettersDiscarded.inc(await letters.purge(now()))],
    ];
    for (const [what, work] of steps) {
      if (this.stopped) return;
      try {
        await work();
      } catch (error) {
        this.failed(what, error);
      }
    }
  }

  /** Writes a warning only if the log has no line about an unavailable store or queue already. */
  private failed(what: string, error: unknown): void {
    const { log } = this.deps;
    const fields = { step: what, err: error };
    if (dependencyOf(error)?.isTroubled === true) log.debug(fields, 'maintenance step failed; it is repeated in a minute');
    else if (isExpected(error)) log.warn(fields, 'maintenance step failed; it is repeated in a minute');
    else log.error(fields, 'maintenance step failed unexpectedly; it is repeated in a minute');
  }

  private async purgeExpired(): Promise<Purged> {
    const purged = await this.deps.store.purgeExpired(this.deps.now(), CHUNK);
    this.deps.metrics.messagesRemoved.inc(purged.removed);
    this.deps.metrics.messagesExpired.inc(purged.removed);
    return purged;
  }

  private async purgeRead(): Promise<void> {
    const start = performance.now();
    for (let more = true; more && !this.stopped && performance.now() < start + READ_MS;) {
      const purged = await this.deps.readPurger.run(() => this.stopped);
      this.deps.metrics.messagesRemoved.inc(purged.removed);
      ({ more } = purged);
    }
  }

  /** Repeats the deletion until nothing is left, so that one run in a minute keeps up with the traffic. */
  private async repeat(purge: () => Promise<Pick<Purged, 'more'>>): Promise<void> {
    while (!this.stopped && (await purge()).more);
  }

  private unseenMs(): number {
    return Math.max(LEAST_UNSEEN_MS, ...this.deps.policies.map(({ ttlMs }) => 2 * ttlMs));
  }

  async stop(): Promise<void> {
    this.stopped = true;
    if (this.timer !== null) clearInterval(this.timer);
    await this.running;
  }
}
