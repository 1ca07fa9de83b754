import type { ReadPurger } from '../offline/positions/read-purger';
import type { LetterBox } from '../queue/dead-letters';
import type { SharedState } from '../queue/state';
import type { Store } from '../stores/store';
import type { Logger } from './log';
import type { Metrics } from './metrics';

const EVERY_MS = 60_000;
/** One delete's size: bounded, so that it never holds locks for long. */
const CHUNK = 1_000;

export interface MaintenanceDeps {
  readonly store: Pick<Store, 'purgeExpired'>;
  readonly state: Pick<SharedState, 'purge'>;
  readonly letters: Pick<LetterBox, 'purge'>;
  readonly readPurger: Pick<ReadPurger, 'run'>;
  readonly vacuum: () => Promise<void>;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly now: () => number;
}

/** Removes what has expired, in small steps. Every process does it: what one has removed the others don't find. */
export class Maintenance {
  private timer: NodeJS.Timeout | null = null;
  private running: Promise<void> = Promise.resolve();
  private stopped = false;
  /** At the last run. */
  private buriedBefore = 0;

  constructor(private readonly deps: MaintenanceDeps) {}

  start(): void {
    this.timer = setInterval(() => {
      this.running = this.running.then(() => this.run());
    }, EVERY_MS);
    this.timer.unref();
  }

  async run(): Promise<void> {
    try {
      await this.purgeStore();
      this.deps.metrics.messagesRemoved.inc(await this.deps.readPurger.run());
      while (!this.stopped && (await this.deps.state.purge(CHUNK)));
      this.deps.metrics.deadLettersDiscarded.inc(await this.deps.letters.purge(this.deps.now()));
      await this.deps.vacuum();
    } catch (error) {
      this.deps.log.warn({ err: error }, 'expired messages could not be purged; trying again in a minute');
    }
  }

  /**
   * A purge takes up to CHUNK messages and as many tombstones, and tells of the messages only. Whatever was removed left a tombstone: twice
   * as many purges as that takes keep up, and clear what a process that died has left.
   */
  private async purgeStore(): Promise<void> {
    const buried = await this.buried();
    const least = Math.ceil((2 * (buried - this.buriedBefore)) / CHUNK);
    for (let round = 0, removed = CHUNK; (removed >= CHUNK || round < least) && !this.stopped; round++) {
      removed = await this.deps.store.purgeExpired(this.deps.now(), CHUNK);
      this.deps.metrics.messagesRemoved.inc(removed);
      this.deps.metrics.messagesExpired.inc(removed);
    }
    this.buriedBefore = buried;
  }

  private async buried(): Promise<number> {
    const { acksApplied, messagesRemoved } = this.deps.metrics;
    const totals = await Promise.all([acksApplied, messagesRemoved].map((counter) => counter.get()));
    return totals.flatMap(({ values }) => values).reduce((sum, { value }) => sum + value, 0);
  }

  async stop(): Promise<void> {
    this.stopped = true;
    if (this.timer !== null) clearInterval(this.timer);
    await this.running;
  }
}
