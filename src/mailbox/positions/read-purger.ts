import type { Policy } from '../../config/policies';
import type { Position, Store } from '../../stores/store';
import type { Message } from '../../mqtt/message';
import { policyFor } from '../../policies/policy';
import { FILTERS, startOf } from './positions';
import { ReadSet } from './read-set';
import { GRACE_MS, TOMBSTONE_MS } from '../times';
import { matches } from '../../mqtt/topic';

/** What one run looks at: the next run goes on there. */
const TOPICS = 512;
/** On a store where a look costs much (ClickHouse: 80 ms a topic with 100,000 rows) a run looks at fewer. */
const BUDGET_MS = 2_000;
const TOPIC_PAGE = 64;
const PAGE = 32;
const FILTER_PAGE = 100;
/** Of one topic in one run. */
const PAGES = 32;

export interface ReadPurgerDeps {
  readonly store: Pick<Store, 'listTopics' | 'listMessages' | 'listPositions' | 'positionsOfTopic' | 'removeMessages'>;
  readonly policies: readonly Policy[];
  readonly now: () => number;
}

/**
 * Removes what everybody has read (pubsub mode), topic after topic, in small steps. Everybody: who has a position in the topic or a wildcard
 * filter that matches it, and was seen within the policy's ttl; where nobody is known, messages stay until the ttl is over.
 */
export class ReadPurger {
  private policy = 0;
  private after = '';

  constructor(
    private readonly deps: ReadPurgerDeps,
    private readonly budgetMs = BUDGET_MS,
  ) {}

  /** @returns how many messages it removed. */
  async run(): Promise<number> {
    const pubsub = this.deps.policies.filter(({ mode }) => mode === 'pubsub');
    if (pubsub.length === 0) return 0;
    const filters = await this.filters();
    const deadline = performance.now() + this.budgetMs;
    let removed = 0;
    for (let looked = 0, policies = 0; looked < TOPICS && policies < pubsub.length; ) {
      const policy = pubsub[this.policy % pubsub.length] as Policy;
      const topics = await this.deps.store.listTopics({ filter: policy.filter, after: this.after, limit: TOPIC_PAGE });
      for (const topic of topics) {
        if (policyFor(this.deps.policies, topic) === policy) removed += await this.purge(topic, policy, filters);
        this.after = topic;
        looked++;
        if (performance.now() >= deadline) return removed;
      }
      if (topics.length === TOPIC_PAGE) continue;
      [this.after, this.policy] = ['', (this.policy + 1) % pubsub.length];
      policies++;
    }
    return removed;
  }

  private async purge(topic: string, policy: Policy, filters: readonly string[]): Promise<number> {
    const consumers = await this.consumers(topic, policy, filters);
    if (consumers.length === 0) return 0;
    const now = this.deps.now();
    let removed = 0;
    for (let after = '', page = 0; page < PAGES; page++) {
      const messages = await this.deps.store.listMessages({ topic, after, limit: PAGE, now });
      // A subscription that came before may be on its way to us.
      const isDone = (message: Message) => message.publishReceivedAt < now - GRACE_MS && consumers.every((set) => set.has(message));
      const done = messages.filter(isDone);
      // The tombstones: its event may come once more, and nobody's position would know it as read.
      if (done.length > 0) removed += await this.deps.store.removeMessages(done, now + TOMBSTONE_MS);
      if (done.length === 0 || messages.length < PAGE) break;
      after = messages.at(-1)?.id ?? '';
    }
    return removed;
  }

  private async consumers(topic: string, policy: Policy, filters: readonly string[]): Promise<ReadSet[]> {
    const own = await this.setsOf(topic);
    const byFilter = await Promise.all(filters.filter((filter) => matches(filter, topic)).map((filter) => this.setsOf(filter)));
    const rows = new Map<string, ReadSet[]>();
    for (const row of byFilter.flat()) rows.set(row.consumer, [...(rows.get(row.consumer) ?? []), row]);
    const known = new Map(own.map((set) => [set.consumer, set]));
    for (const [consumer, starting] of rows) if (!known.has(consumer)) known.set(consumer, startOf(consumer, topic, policy, starting));
    // What EMQX's own plugin left does not say when.
    const isAlive = ({ seenAt }: ReadSet) => seenAt === null || seenAt >= this.deps.now() - policy.ttlMs;
    const alive = new Set([...own, ...byFilter.flat()].filter(isAlive).map(({ consumer }) => consumer));
    return [...known.values()].filter(({ consumer }) => alive.has(consumer));
  }

  private async setsOf(topic: string): Promise<ReadSet[]> {
    return (await this.deps.store.positionsOfTopic(topic)).filter(({ consumer }) => consumer !== FILTERS).map((position: Position) => ReadSet.of(position));
  }

  private async filters(): Promise<string[]> {
    const found: string[] = [];
    for (let after: string | undefined = ''; after !== undefined; ) {
      const page = await this.deps.store.listPositions(FILTERS, after, FILTER_PAGE);
      found.push(...page.map(({ topic }) => topic));
      after = page.length < FILTER_PAGE ? undefined : page.at(-1)?.topic;
    }
    return found;
  }
}
