import type { Policy } from '../../config/policies';
import type { RetainerApi } from '../../emqx/retainer';
import { RetryableError } from '../../base/errors';
import { ForbiddenError, NoSuchPathError } from '../../emqx/api';
import type { Logger } from '../../base/log';
import type { Lanes } from '../../lanes/lanes';
import type { SharedState } from '../../lanes/state';

const EVERY_MS = 2_500;
/**
 * The first check after the server's start waits this long (ms). EMQX's connector checks every 5 s whether the server
 * is back (rules/), and then sends the events that it kept. Their deletions must be known before anything is restored.
 */
const FIRST_AFTER_MS = 8_000;
/**
 * Start times that differ by less than this (ms) are the same start, because EMQX's clock is read with a resolution of
 * one second.
 */
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
  /** Names this process as the owner of its leases. */
  readonly owner: string;
}

/**
 * Notices that a broker has lost its retained messages (`retain: restore`), and has them published again. EMQX fires no
 * event for that, so the server compares the broker's start times. It restores once after each start, because a message
 * that is missing later was deleted by a client.
 */
export class RestoreWatch {
  private timer: NodeJS.Timeout | null = null;
  private running: Promise<void> = Promise.resolve();
  private stopped = false;
  private warned = false;
  /** The broker's start time (ms) that the last check saw. */
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
      // /readyz reports ready with such a key or such an EMQX, so the log must say what does not work.
      if (error instanceof ForbiddenError || error instanceof NoSuchPathError) return this.warnOnce(error.message);
      // /readyz reports an EMQX that is away. The next check follows soon.
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
    // Two checks must see the same start, because a broker that has just started may still be loading its messages.
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

  /**
   * If EMQX retains no message from before its start, it was empty when it started. One older message shows that EMQX
   * has kept its messages.
   */
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
