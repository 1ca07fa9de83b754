import type { SharedState } from './state';

/** A lane whose owner dies has another one after so long. */
const TTL_MS = 10_000;
const RENEW_MS = 3_000;

/**
 * One process works on a client lane at a time: what happens to a mailbox happens in one place, and in large batches. A process that stood still finds
 * that it owns the lane no more; what it had in hand is stopped by the versions of the mailboxes (promise 21), so that owning is for speed, not for safety.
 */
export class Ownership {
  private version = 0;
  private heldUntil = -Infinity;
  private renewedAt = -Infinity;

  constructor(
    private readonly state: Pick<SharedState, 'load' | 'save'>,
    private readonly lane: string,
    /** Of this process. */
    private readonly owner: string,
  ) {}

  /** Takes the lane if nobody has it. @returns whether it is this process's. Throws RetryableError while the queue's database is away. */
  async hold(): Promise<boolean> {
    const now = performance.now();
    if (now < this.heldUntil && now < this.renewedAt + RENEW_MS) return true;
    const found = (await this.state.load([this.key])).get(this.key);
    const isFree = found === undefined || found.value === '' || found.value === this.owner;
    return isFree && (await this.save(found?.version ?? 0, this.owner, TTL_MS, now));
  }

  /** Keeps it while a batch takes long. */
  async renew(): Promise<void> {
    if (performance.now() < this.heldUntil) await this.hold();
  }

  /** The next process need not wait until the time is over. */
  async release(): Promise<void> {
    // The record lasts: one that expired between the load and the save of the next owner would refuse that save.
    if (performance.now() < this.heldUntil) await this.save(this.version, '', TTL_MS, 0);
    this.heldUntil = -Infinity;
  }

  private async save(before: number, value: string, ttlMs: number, now: number): Promise<boolean> {
    const refused = await this.state.save([{ key: this.key, value, before, version: before + 1, ttlMs }]);
    const isOurs = !refused.has(this.key);
    if (isOurs) [this.version, this.heldUntil, this.renewedAt] = [before + 1, now + TTL_MS, now];
    else this.heldUntil = -Infinity;
    return isOurs;
  }

  private get key(): string {
    return `lane:${this.lane}`;
  }
}
