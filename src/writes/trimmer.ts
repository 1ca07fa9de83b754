import type { Policy } from '../config/policies';
import type { Metrics } from '../base/metrics';
import type { Store } from '../stores/store';
import { policyFor } from '../policies/policy';

/**
 * The trimmer checks a topic again after this share of its maxStored was added, but at the latest after MOST messages.
 */
const SHARE = 0.1;
const MOST = 1_000;
/** How many topics are counted, and how many wait for a check. The sweep finds the others. */
const TOPICS = 10_000;
const SWEEP_MS = 2_000;
const SWEEP_PAGE = 256;

export interface TrimmerDeps {
  readonly store: Pick<Store, 'trimTopic' | 'listTopics'>;
  readonly policies: readonly Policy[];
  readonly metrics: Pick<Metrics, 'messagesRemoved' | 'messagesTrimmed'>;
  /** Called when a check failed. The topic is checked again after the next messages, or by the sweep. */
  readonly onError?: (error: unknown) => void;
}

/**
 * Keeps topics near their policy's maxStored by deleting their oldest messages. Between two checks a topic may exceed
 * the limit by a tenth (at most 1,000 messages). The writer only reports which topics it has written to. The checks run
 * in the background, one at a time.
 */
export class Trimmer {
  /** How many messages were added to each topic since its last check. */
  private readonly added = new Map<string, number>();
  /** Topics to check, in this order. */
  private readonly due = new Set<string>();
  private readonly policies: readonly Policy[];
  /** Where the next sweep continues. */
  private swept = { policy: 0, after: '' };
  private working: Promise<void> | null = null;
  private stopped = false;

  constructor(private readonly deps: TrimmerDeps) {
    this.policies = deps.policies.filter(({ mode }) => mode !== 'off');
  }

  /** @param topics one entry for each message that was stored. */
  saved(topics: readonly string[]): void {
    for (const topic of topics) {
      const count = (this.added.get(topic) ?? 0) + 1;
      if (count < MOST && count < this.stepOf(topic)) this.added.set(topic, count);
      else {
        this.added.delete(topic);
        if (this.due.size < TOPICS) this.due.add(topic);
      }
    }
    for (const topic of this.added.keys()) {
      if (this.added.size <= TOPICS) break;
      this.added.delete(topic);
    }
    this.work();
  }

  private stepOf(topic: string): number {
    const policy = policyFor(this.deps.policies, topic);
    return policy === null ? Infinity : Math.ceil(policy.maxStored * SHARE);
  }

  private work(): void {
    if (this.due.size === 0 || this.working !== null || this.stopped) return;
    this.working = this.lookAtAll().finally(() => (this.working = null));
  }

  /**
   * An error ends the round, because the store may be away. The next messages or the next sweep begin another round.
   */
  private async lookAtAll(): Promise<void> {
    for (const topic of this.due) {
      if (this.stopped) return;
      this.due.delete(topic);
      try {
        await this.look(topic);
      } catch (error) {
        this.due.add(topic);
        this.deps.onError?.(error);
        return;
      }
    }
  }

  private async look(topic: string): Promise<void> {
    const policy = policyFor(this.deps.policies, topic);
    if (policy === null) return;
    const removed = await this.deps.store.trimTopic(topic, policy.maxStored);
    this.deps.metrics.messagesRemoved.inc(removed);
    this.deps.metrics.messagesTrimmed.inc(removed);
  }

  /**
   * Checks the next stored topics for `budgetMs`, and continues after them the next time. So topics with few messages
   * are trimmed, too, and those whose count was lost when a process ended. Throws the store's errors.
   */
  async sweep(budgetMs = SWEEP_MS): Promise<void> {
    this.work();
    const end = performance.now() + budgetMs;
    for (let rounds = 0; rounds < this.policies.length;) {
      const policy = this.policies[this.swept.policy % this.policies.length] as Policy;
      const topics = await this.deps.store.listTopics({ filter: policy.filter, after: this.swept.after, limit: SWEEP_PAGE });
      for (const topic of topics) {
        if (this.stopped) return;
        await this.working;
        if (policyFor(this.deps.policies, topic) === policy) await this.look(topic);
        this.swept.after = topic;
        if (performance.now() >= end) return;
      }
      if (topics.length === SWEEP_PAGE) continue;
      this.swept = { policy: (this.swept.policy + 1) % this.policies.length, after: '' };
      rounds++;
    }
  }

  /** Waits for the check that is running. */
  async stop(): Promise<void> {
    this.stopped = true;
    await this.working;
  }
}
