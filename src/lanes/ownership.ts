import type { SharedState } from './state';

/** A lane whose owner has died gets another one after this time (ms). */
const TTL_MS = 10_000;
const RENEW_MS = 3_000;

/**
 * Lets one process at a time work on a client lane, so that everything that happens to a mailbox happens in one place
 * and in large batches. Ownership is for speed, not for safety: if a process stood still and has lost the lane, the
 * versions of the mailboxes keep it from overwriting anything (promise 21).
 */
export class Ownership {
  private version = 0;
  private heldUntil = -Infinity;
  private renewedAt = -Infinity;

  constructor(
    private readonly state: Pick<SharedState, 'load' | 'save'>,
    private readonly lane: string,
    /** Names this process. */
    private readonly owner: string,
  ) {}

  /**
   * Takes the lane if no other process has it.
   * @returns whether the lane belongs to this process.
   * @throws RetryableError while the queue's database is away.
   */
  async hold(): Promise<boolean> {
    const now = performance.now();
    if (now < this.heldUntil && now < this.renewedAt + RENEW_MS) return true;
    const found = (await this.state.load([this.key])).get(this.key);
    const isFree = found === undefined || found.value === '' || found.value === this.owner;
    return isFree && (await this.save(found?.version ?? 0, this.owner, TTL_MS, now));
  }

  /** Keeps the lane while a batch takes long. */
  async renew(): Promise<void> {
    if (performance.now() < this.heldUntil) await this.hold();
  }

  /** Gives the lane up, so that the next process need not wait until the ownership ends. */
  async release(): Promise<void> {
    // The record is kept. If it expired between the next owner's load and its save, that save would be rejected.
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
