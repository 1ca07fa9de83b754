import type { Metrics } from '../base/metrics';
import type { Policy } from '../config/policies';
import { policyFor } from '../policies/policy';
import { MOST_COUNTED, type Store } from '../stores/store';

/** Topics that are trimmed at the same time. Each of them costs at least one request. */
const AT_ONCE = 8;

export interface SurplusDeps {
  readonly store: Pick<Store, 'topicCounts' | 'trimTopic'>;
  readonly policies: readonly Policy[];
  readonly metrics: Pick<Metrics, 'messagesRemoved' | 'messagesTrimmed'>;
}

/** Deletes the oldest messages of topics that have more than their policy's maxStored. */
export class Surplus {
  constructor(private readonly deps: SurplusDeps) {}

  /**
   * One request counts the messages of all these topics. Only a topic that may be beyond its limit costs more requests.
   * Throws the store's errors.
   * @param isStopped whether the remaining topics are left for another time.
   */
  async trim(topics: readonly string[], isStopped: () => boolean): Promise<void> {
    const limited = topics.flatMap((topic) => {
      const policy = policyFor(this.deps.policies, topic);
      return policy === null ? [] : [{ topic, keep: policy.maxStored }];
    });
    if (limited.length === 0) return;
    // At the time 0 no message has expired, so that no database searches for one that has not.
    const counts = await this.deps.store.topicCounts(
      limited.map(({ topic }) => topic),
      0,
    );
    const beyond = limited.filter(({ topic, keep }) => {
      const messages = counts.get(topic)?.messages ?? 0;
      return messages > keep || messages >= MOST_COUNTED;
    });
    for (let i = 0; i < beyond.length && !isStopped(); i += AT_ONCE) {
      const trims = await Promise.allSettled(beyond.slice(i, i + AT_ONCE).map(({ topic, keep }) => this.trimOne(topic, keep)));
      for (const trim of trims) if (trim.status === 'rejected') throw trim.reason;
    }
  }

  private async trimOne(topic: string, keep: number): Promise<void> {
    const removed = await this.deps.store.trimTopic(topic, keep);
    this.deps.metrics.messagesRemoved.inc(removed);
    this.deps.metrics.messagesTrimmed.inc(removed);
  }
}
