import { policyFor } from '../policies/policy';
import type { Policy } from '../config/policies';
import type { Store } from '../stores/store';
import { Surplus, type SurplusDeps } from './surplus';

/**
 * The trimmer checks a topic again after this share of its maxStored was added, but at the latest after MOST messages.
 */
const SHARE = 0.1;
const MOST = 1_000;
/** How many topics are counted, and how many wait for a check. The sweep finds the others. */
const TOPICS = 10_000;
/** How many topics are checked with one request. */
const PAGE = 256;
/** The shortest pause before a round of checks (ms). The pause is at least as long as the round before it took. */
const PAUSE_MS = 100;
/** The pause after a failed round (ms). */
const ERROR_PAUSE_MS = 5_000;
const SWEEP_MS = 5_000;

export interface TrimmerDeps extends SurplusDeps {
  readonly store: SurplusDeps['store'] & Pick<Store, 'listTopics'>;
  /** Called when a check failed. The topics are checked again after the next messages, or by the sweep. */
  readonly onError?: (error: unknown) => void;
}

/**
 * Keeps topics near their policy's maxStored by deleting their oldest messages. Between two checks a topic may exceed
 * the limit by a tenth (at most 1,000 messages). The writer only reports which topics it has written to, which costs no
 * request. The checks run in the background, in rounds: a round checks many topics with one request.
 */
export class Trimmer {
  /** How many more messages each topic gets until it is checked. */
  private readonly left = new Map<string, number>();
  /** Topics to check, in this order. */
  private readonly due = new Set<string>();
  private readonly policies: readonly Policy[];
  private readonly surplus: Surplus;
  /** Where the next sweep continues. */
  private swept = { policy: 0, after: '' };
  private timer: NodeJS.Timeout | null = null;
  private working: Promise<void> | null = null;
  private pauseMs = PAUSE_MS;
  private stopped = false;

  constructor(private readonly deps: TrimmerDeps) {
    this.policies = deps.policies.filter(({ mode }) => mode !== 'off');
    this.surplus = new Surplus(deps);
  }

  /** @param topics one entry for each message that was stored. */
  saved(topics: readonly string[]): void {
    for (const topic of topics) this.count(topic);
    for (const topic of this.left.keys()) {
      if (this.left.size <= TOPICS) break;
      this.left.delete(topic);
    }
    this.plan();
  }

  private count(topic: string): void {
    if (this.due.has(topic)) return;
    const left = (this.left.get(topic) ?? this.stepOf(topic)) - 1;
    if (left > 0) this.left.set(topic, left);
    else {
      this.left.delete(topic);
      if (this.due.size < TOPICS) this.due.add(topic);
    }
  }

  private stepOf(topic: string): number {
    const policy = policyFor(this.deps.policies, topic);
    return policy === null ? MOST : Math.min(Math.ceil(policy.maxStored * SHARE), MOST);
  }

  /** Plans the next round, if there is anything to check. */
  private plan(): void {
    if (this.due.size === 0 || this.timer !== null || this.working !== null || this.stopped) return;
    this.timer = setTimeout(() => {
      this.timer = null;
      this.working = this.round().finally(() => (this.working = null));
      void this.working.then(() => this.plan());
    }, this.pauseMs);
    this.timer.unref();
  }

  /** After an error the pause is long, because the store may be away. */
  private async round(): Promise<void> {
    const topics: string[] = [];
    for (const topic of this.due) if (topics.push(topic) >= PAGE) break;
    for (const topic of topics) this.due.delete(topic);
    const start = performance.now();
    try {
      await this.surplus.trim(topics, () => this.stopped);
      this.pauseMs = Math.max(PAUSE_MS, performance.now() - start);
    } catch (error) {
      for (const topic of topics) this.due.add(topic);
      this.pauseMs = ERROR_PAUSE_MS;
      this.deps.onError?.(error);
    }
  }

  /**
   * Checks the next stored topics for about `budgetMs`, and continues after them the next time. So topics with few
   * messages are trimmed, too, and those whose count was lost when a process ended. Throws the store's errors.
   */
  async sweep(budgetMs = SWEEP_MS): Promise<void> {
    const end = performance.now() + budgetMs;
    for (let rounds = 0; rounds < this.policies.length;) {
      const policy = this.policies[this.swept.policy % this.policies.length] as Policy;
      const topics = await this.deps.store.listTopics({ filter: policy.filter, after: this.swept.after, limit: PAGE });
      await this.working;
      await this.surplus.trim(
        topics.filter((topic) => policyFor(this.deps.policies, topic) === policy),
        () => this.stopped,
      );
      if (this.stopped) return;
      const last = topics.at(-1);
      if (topics.length === PAGE && last !== undefined) this.swept.after = last;
      else {
        this.swept = { policy: (this.swept.policy + 1) % this.policies.length, after: '' };
        rounds++;
      }
      if (performance.now() >= end) return;
    }
  }

  /** Waits for the check that is running. */
  async stop(): Promise<void> {
    this.stopped = true;
    if (this.timer !== null) clearTimeout(this.timer);
    await this.working;
  }
}
