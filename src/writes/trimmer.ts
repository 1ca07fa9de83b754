import type { Policy } from '../config/policies';
import type { Metrics } from '../base/metrics';
import type { Store } from '../stores/store';
import { policyFor } from '../policies/policy';

/** The trimmer looks at a topic again after this share of its maxStored was added, at most after MOST messages. */
const SHARE = 0.1;
const MOST = 1_000;
/** At most this many topics are counted, and at most this many wait for a look. The sweep finds the others. */
const TOPICS = 10_000;
const SWEEP_MS = 2_000;
const SWEEP_PAGE = 256;

export interface TrimmerDeps {
  readonly store: Pick<Store, 'trimTopic' | 'listTopics'>;
  readonly policies: readonly Policy[];
  readonly metrics: Pick<Metrics, 'messagesRemoved' | 'messagesTrimmed'>;
  /** A look that failed: the topic is looked at again with the next messages, or by the sweep. */
  readonly onError?: (error: unknown) => void;
}

/**
 * Keeps topics near their policy's maxStored by deleting the oldest messages. Between two looks a topic may have a tenth (at most 1,000)
 * more. The writer only tells which topics it has written to: the looks happen in the background, one at a time.
 */
export class Trimmer {
  /** Messages that were added since the last look. */
  private readonly added = new Map<string, number>();
  /** Topics to look at, in this order. */
  private readonly due = new Set<string>();
  private readonly policies: readonly Policy[];
  /** Where the next sweep goes on. */
  private swept = { policy: 0, after: '' };
  private working: Promise<void> | null = null;
  private stopped = false;

  constructor(private readonly deps: TrimmerDeps) {
    this.policies = deps.policies.filter(({ mode }) => mode !== 'off');
  }

  /** One entry for each message that was stored. */
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

  /** A look that fails ends the round: the store may be away, and the next messages or the next sweep begin another one. */
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
   * Looks at the next stored topics, for `budgetMs`, and goes on there the next time. So topics with few messages, and those that were
   * counted when a process ended, are trimmed as well. Throws when the store does.
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

  /** Waits for the look in hand. */
  async stop(): Promise<void> {
    this.stopped = true;
    await this.working;
  }
}
