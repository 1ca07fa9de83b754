import type { Policy } from '../../config/policies';
import type { Metrics } from '../../ops/metrics';
import type { Store } from '../../stores/store';
import { policyFor } from '../policy';

/** A topic is looked at again after this share of its maxStored was added, at most after MOST messages. */
const SHARE = 0.1;
const MOST = 1_000;
/** Topics that are counted in memory. */
const TOPICS = 10_000;

export interface TrimmerDeps {
  readonly store: Pick<Store, 'trimTopic'>;
  readonly policies: readonly Policy[];
  readonly metrics: Pick<Metrics, 'messagesRemoved' | 'messagesTrimmed'>;
}

/** Keeps topics near their policy's maxStored: the oldest messages go. Between two looks a topic may have a tenth (at most 1,000) more. */
export class Trimmer {
  private readonly added = new Map<string, number>();

  constructor(private readonly deps: TrimmerDeps) {}

  async saved(topics: readonly string[]): Promise<void> {
    for (const topic of topics) this.added.set(topic, (this.added.get(topic) ?? 0) + 1);
    for (const topic of new Set(topics)) {
      const policy = policyFor(this.deps.policies, topic);
      const step = Math.min(MOST, Math.ceil((policy?.maxStored ?? 0) * SHARE));
      if (policy !== null && (this.added.get(topic) ?? 0) >= step) await this.trim(topic, policy.maxStored);
    }
    // What is counted no longer is looked at for the last time, or many quiet topics would never be.
    for (const topic of this.added.keys()) {
      if (this.added.size <= TOPICS) break;
      const policy = policyFor(this.deps.policies, topic);
      if (policy === null) this.added.delete(topic);
      else await this.trim(topic, policy.maxStored);
    }
  }

  private async trim(topic: string, keep: number): Promise<void> {
    const removed = await this.deps.store.trimTopic(topic, keep);
    this.deps.metrics.messagesRemoved.inc(removed);
    this.deps.metrics.messagesTrimmed.inc(removed);
    this.added.delete(topic);
  }
}
