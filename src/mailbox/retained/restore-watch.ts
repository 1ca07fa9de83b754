import type { Policy } from '../../config/policies';
import type { RetainerApi } from '../../emqx/retainer';
import { RetryableError } from '../../base/errors';
import { ForbiddenError, NoSuchPathError } from '../../emqx/api';
import type { Logger } from '../../base/log';
import type { Lanes } from '../../lanes/lanes';
import type { SharedState } from '../../lanes/state';

const EVERY_MS = 2_500;
/** EMQX's connector looks every 5 s whether we are back (rules/) and then sends what it kept: deletions come before what we restore. ms. */
const FIRST_AFTER_MS = 8_000;
/** EMQX's clock is read with a resolution of a second. ms. */
const SAME_START_MS = 4_000;
const MEMORY_MS = 365 * 86_400_000;
const KEY = 'retained-looked-at';
const LEASE = 'retained-look';
const LEASE_MS = 30_000;

export interface RestoreWatchDeps {
  readonly retainer: RetainerApi;
  readonly state: Pick<SharedState, 'get' | 'set' | 'lease' | 'release'>;
  readonly lanes: Pick<Lanes, 'restore'>;
  readonly policies: readonly Policy[];
  readonly log: Logger;
  /** Of this process. */
  readonly owner: string;
}

/**
 * Notices a broker that has lost what it retained (`retain: restore`), and has it published back. Nothing tells us: we compare when the
 * broker started. Once for each start: what is missing later was deleted by somebody.
 */
export class RestoreWatch {
  private timer: NodeJS.Timeout | null = null;
  private running: Promise<void> = Promise.resolve();
  private stopped = false;
  private warned = false;
  /** The start that the last look saw. */
  private seen: number | null = null;

  constructor(private readonly deps: RestoreWatchDeps) {}

  start(): void {
    if (this.deps.policies.every(({ retain }) => retain !== 'restore')) return;
    this.next(FIRST_AFTER_MS);
  }

  private next(delay: number): void {
    if (this.stopped) return;
    this.timer = setTimeout(() => {
      this.running = this.look().finally(() => this.next(EVERY_MS));
    }, delay);
    this.timer.unref();
  }

  private async look(): Promise<void> {
    try {
      await this.check();
    } catch (error) {
      if (this.stopped) return;
      // /readyz is ready with such a key or EMQX: somebody has to say what does not work.
      if (error instanceof ForbiddenError || error instanceof NoSuchPathError) return this.warnOnce(error.message);
      // An EMQX that is away is told by /readyz; the next look is soon.
      if (error instanceof RetryableError) return;
      this.deps.log.error(
        { err: error },
        'the check of what EMQX retains failed unexpectedly: retained messages are no longer restored automatically',
      );
      this.stopped = true;
    }
  }

  /** Public for tests. */
  async check(): Promise<void> {
    const { retainer, state, owner } = this.deps;
    const started = await retainer.startedAt();
    if (started === null) return this.warnOnce('GET /nodes has no uptime');
    // Two looks must see it: a broker that has just come up may still be loading.
    const settled = isSame(this.seen, started);
    this.seen = started;
    if (!settled || isSame(await this.lookedAt(), started)) return;
    const [leased] = await state.lease([{ name: LEASE, owner }], LEASE_MS);
    if (leased !== 'granted') return;
    try {
      if (!isSame(await this.lookedAt(), started)) await this.decide(started);
    } finally {
      await state.release([LEASE], owner);
    }
  }

  /** It was empty when it started, if nothing that it retains is older than that; one message that is says that it kept them. */
  private async decide(started: number): Promise<void> {
    const { retainer, state, lanes, policies, log } = this.deps;
    const oldest = await retainer.oldest();
    if (oldest !== null && oldest < started - SAME_START_MS) log.info('EMQX has restarted and kept its retained messages');
    else {
      log.info({ started: new Date(started).toISOString() }, 'EMQX has restarted without retained messages: restoring them');
      for (const filter of restored(policies)) await lanes.restore({ filter, before: started, after: '' });
    }
    await state.set(KEY, String(started), MEMORY_MS);
  }

  private warnOnce(reason: string): void {
    if (!this.warned)
      this.deps.log.warn(
        { reason },
        'retained messages are not restored automatically, because EMQX does not tell when it started; POST /v1/retained/restore restores them',
      );
    this.warned = true;
  }

  private async lookedAt(): Promise<number | null> {
    const value = await this.deps.state.get(KEY);
    return value === null ? null : Number(value);
  }

  async stop(): Promise<void> {
    this.stopped = true;
    if (this.timer !== null) clearTimeout(this.timer);
    await this.running;
  }
}

function restored(policies: readonly Policy[]): string[] {
  return [...new Set(policies.filter(({ retain }) => retain === 'restore').map(({ filter }) => filter))];
}

function isSame(a: number | null, b: number): boolean {
  return a !== null && Math.abs(a - b) < SAME_START_MS;
}
