import { cameFrom, codeOf, type Source } from './dependency';
import { ClosedError, errorText, OverloadedError } from './errors';
import type { Health } from './health';
import type { Logger } from './log';

/** After the first failure the dependency is checked, so that one failed request is no outage. */
const SETTLE_MS = 500;
/** A dependency that was found well is not checked again before this time, however many requests fail. */
const PAUSE_MS = 5_000;
/** How often a dependency that is away is checked: at first, and after SOON_MS. */
const POLL_MS = 1_000;
const LATER_POLL_MS = 5_000;
const SOON_MS = 60_000;
/** How often the watch looks for requests without an answer (ms). */
const LOOKOUT_MS = 2_000;
const REMINDER_MS = 5 * 60_000;
/** A dependency is back when so many checks in a row are well: more after each outage in the last FLAPPING_MS. */
const CHECKS = 2;
const MOST_CHECKS = 30;
const FLAPPING_MS = 10 * 60_000;

export interface Checked extends Health {
  /** The dependency answers, and the requests that the server needs fail: its disk is full, it refuses the key. */
  readonly answers?: boolean;
}

export interface DependencyOptions {
  /** The name that sentences and fields use: store, queue, EMQX, `history influxdb://...`. */
  readonly name: string;
  /** The setting that an operator looks at: STORE_URL. */
  readonly setting: string;
  /** The consequence of an outage for messages, which tells an operator what the server does by itself. */
  readonly consequence: string;
  /** Whether the server can work with it. Never throws. */
  readonly check: () => Promise<Checked>;
  /**
   * It is checked while a request has no answer for so long: drivers wait up to 15 s for a database that is silent.
   * Absent: requests may wait, as those for the next job do.
   */
  readonly slowAfterMs?: number;
  readonly log: Logger;
}

/**
 * One dependency in the log: one line when it goes and one when it is back, however many requests fail meanwhile. Any
 * part of the server may report a failure (`failed`), but only the check decides whether the dependency is away or back.
 */
export class Dependency implements Source {
  readonly name: string;
  readonly pending = new Set<{ readonly since: number }>();
  private readonly lookout: NodeJS.Timeout | null;
  private state: 'well' | 'suspect' | 'away' = 'well';
  private hasWorked = false;
  /** The outage began with a lost connection. */
  private wasLost = false;
  private failures = 0;
  /** When a check after a failed request last found the dependency well (performance.now()). */
  private excusedAt = -Infinity;
  /** When the outage began (performance.now()). */
  private awaySince = 0;
  /** When the log last had a line about the outage (performance.now()). */
  private saidAt = 0;
  private outages: number[] = [];
  private timer: NodeJS.Timeout | null = null;
  private closed = false;

  constructor(private readonly options: DependencyOptions) {
    this.name = options.name;
    const { slowAfterMs } = options;
    this.lookout = slowAfterMs === undefined ? null : setInterval(() => this.findSlow(slowAfterMs), LOOKOUT_MS).unref();
  }

  /** It is away, or is being checked because a request failed: a line about it is written, or will be. */
  get isTroubled(): boolean {
    return this.state !== 'well';
  }

  /** A request succeeded. Whether an outage is over is decided by the check alone. */
  worked(): void {
    this.hasWorked = true;
  }

  /** A request failed. The error is remembered as one of this dependency's. */
  failed(error: unknown): void {
    if (error instanceof OverloadedError || error instanceof ClosedError) return;
    cameFrom(error, this);
    if (this.closed) return;
    this.failures++;
    const { log, setting, name } = this.options;
    log.debug({ dependency: name, setting, err: error }, `${setting}: connection error`);
    if (this.state !== 'well' || this.timer !== null) return;
    const pause = this.excusedAt + PAUSE_MS - performance.now();
    // A check has just found it well: the failure is the request's own until the next check.
    if (pause <= 0) this.state = 'suspect';
    this.after(Math.max(SETTLE_MS, pause), () => this.confirm(error));
  }

  /** Checks it now. @returns what was found, which is logged when it is away; null after close(). */
  async look(): Promise<Health | null> {
    const health = await this.options.check();
    if (this.closed) return null;
    if (health.ok) this.isWell();
    else if (this.state !== 'away') this.goes(health, null);
    return health;
  }

  close(): void {
    this.closed = true;
    if (this.lookout !== null) clearInterval(this.lookout);
    if (this.timer !== null) clearTimeout(this.timer);
  }

  private findSlow(slowAfterMs: number): void {
    // The first one waits for the longest.
    const [oldest] = this.pending;
    if (oldest === undefined || performance.now() - oldest.since < slowAfterMs || this.state !== 'well' || this.timer !== null) return;
    this.state = 'suspect';
    void this.confirm(null);
  }

  private after(ms: number, work: () => Promise<void>): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.timer = null;
      void work();
    }, ms).unref();
  }

  private isWell(): void {
    this.hasWorked = true;
    if (this.state === 'suspect') this.state = 'well';
  }

  private async confirm(error: unknown): Promise<void> {
    const found = await this.options.check();
    if (this.closed || this.state === 'away') return;
    if (!found.ok) return this.goes(found, error);
    const { log, setting, name } = this.options;
    log.debug({ dependency: name, setting, failures: this.failures }, `${setting}: answers again after a connection error`);
    this.failures = 0;
    this.excusedAt = performance.now();
    this.isWell();
  }

  private goes({ detail, answers = false }: Checked, error: unknown): void {
    const { log, setting, name, consequence } = this.options;
    const now = performance.now();
    this.state = 'away';
    this.awaySince = this.saidAt = now;
    this.outages = [...this.outages.filter((at) => at > now - FLAPPING_MS), now];
    const reason = this.reasonOf(detail);
    const fields = { dependency: name, setting, code: codeOf(new Error(reason)) ?? codeOf(error) ?? undefined };
    this.wasLost = this.hasWorked && !answers;
    const todo = answers ? consequence : `start it, or correct ${setting}; ${consequence}`;
    if (this.hasWorked && answers) log.warn(fields, `${setting}: requests fail: ${reason}; ${consequence}`);
    else if (this.hasWorked) log.warn(fields, `${setting}: connection lost: ${reason}; ${consequence}`);
    else log.warn(fields, `${setting}: not available yet: ${reason}; ${todo}`);
    this.poll(0);
  }

  /** `well`: how many checks in a row were well. */
  private poll(well: number): void {
    const isLong = performance.now() - this.awaySince > SOON_MS && well === 0;
    this.after(isLong ? LATER_POLL_MS : POLL_MS, async () => {
      const { ok, detail } = await this.options.check();
      if (this.closed) return;
      if (!ok) {
        this.remind(detail);
        return this.poll(0);
      }
      const wanted = Math.min(CHECKS * 2 ** (this.outages.length - 1), MOST_CHECKS);
      if (well + 1 < wanted) this.poll(well + 1);
      else this.returns();
    });
  }

  private remind(detail: string): void {
    const { log, setting, name } = this.options;
    const now = performance.now();
    if (now - this.saidAt < REMINDER_MS) return;
    this.saidAt = now;
    const downMs = Math.round(now - this.awaySince);
    const fields = { dependency: name, setting, down_ms: downMs, failures: this.failures };
    log.warn(fields, `${setting}: still not available after ${Math.round(downMs / 60_000)} min: ${this.reasonOf(detail)}`);
  }

  private returns(): void {
    const { log, setting, name } = this.options;
    const downMs = Math.round(performance.now() - this.awaySince);
    const fields = { dependency: name, setting, down_ms: downMs, failures: this.failures };
    if (this.wasLost) log.info(fields, `${setting}: connected again after ${durationText(downMs)}`);
    else if (this.hasWorked) log.info(fields, `${setting}: requests succeed again after ${durationText(downMs)}`);
    else log.info(fields, `${setting}: connected after ${durationText(downMs)}`);
    this.state = 'well';
    this.failures = 0;
    this.isWell();
  }

  /** Health checks begin with the setting, which the line has already. */
  private reasonOf(detail: string): string {
    return detail.startsWith(`${this.options.setting}: `) ? detail.slice(this.options.setting.length + 2) : detail;
  }
}

/** A health check, and `more` that must not fail. */
export function checked(setting: string, check: () => Promise<Health>, more: () => Promise<unknown>) {
  return async (): Promise<Checked> => {
    const health = await check();
    if (!health.ok) return health;
    try {
      await more();
      return health;
    } catch (error) {
      return { ok: false, answers: true, detail: `${setting}: ${errorText(error)}` };
    }
  };
}

function durationText(ms: number): string {
  const seconds = Math.round(ms / 1_000);
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7_200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3_600)} h`;
}
