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

  constructor(private readonly deps: MaintenanceDeps) {}

  start(): void {
    this.timer = setInterval(() => {
      this.running = this.running.then(() => this.run());
    }, EVERY_MS);
    this.timer.unref();
  }

  async run(): Promise<void> {
    try {
      for (let removed = CHUNK; removed >= CHUNK && !this.stopped; ) {
        removed = await this.deps.store.purgeExpired(this.deps.now(), CHUNK);
        this.deps.metrics.messagesRemoved.inc(removed);
      }
      await this.deps.state.purge(CHUNK);
      await this.deps.vacuum();
    } catch (error) {
      this.deps.log.warn({ err: error }, 'expired messages could not be purged; trying again in a minute');
    }
  }

  async stop(): Promise<void> {
    this.stopped = true;
    if (this.timer !== null) clearInterval(this.timer);
    await this.running;
  }
}
