import { groupBy } from '../../base/parallel';
import type { Policy } from '../../config/policies';
import type { Store } from '../../stores/store';
import { matches } from '../../mqtt/topic';
import { FILTERS, startOf } from './known';
import { ReadSet } from './read-set';

const FILTER_PAGE = 100;

type Positions = Pick<Store, 'listPositions' | 'positionsOfTopic'>;

/** All wildcard filters that have readers. */
export async function knownFilters(store: Positions): Promise<string[]> {
  const found: string[] = [];
  for (let after: string | undefined = ''; after !== undefined;) {
    const page = await store.listPositions(FILTERS, after, FILTER_PAGE);
    found.push(...page.map(({ topic }) => topic));
    after = page.length < FILTER_PAGE ? undefined : page.at(-1)?.topic;
  }
  return found;
}

/**
 * Finds the readers of a topic: consumers with a position in it or with a wildcard filter that matches it, if they were
 * seen within the policy's ttl. Each check of the purge uses a new instance.
 */
export class TopicReaders {
  /** The rows of a filter, which many topics share. */
  private readonly byFilter = new Map<string, Promise<ReadSet[]>>();

  constructor(
    private readonly store: Positions,
    private readonly filters: readonly string[],
    private readonly now: number,
  ) {}

  async of(topic: string, policy: Pick<Policy, 'from' | 'ttlMs'>): Promise<ReadSet[]> {
    const own = await this.setsOf(topic);
    const starting = (
      await Promise.all(this.filters.filter((filter) => matches(filter, topic)).map((filter) => this.ofFilter(filter)))
    ).flat();
    const known = new Map(own.map((set) => [set.consumer, set]));
    for (const [consumer, ofConsumer] of groupBy(starting, (row) => row.consumer))
      if (!known.has(consumer)) known.set(consumer, startOf(consumer, topic, policy, ofConsumer));
    // A position of EMQX's own plugin has no time, so its consumer counts as seen.
    const isAlive = ({ seenAt }: ReadSet) => seenAt === null || seenAt >= this.now - policy.ttlMs;
    const alive = new Set([...own, ...starting].filter(isAlive).map(({ consumer }) => consumer));
    return [...known.values()].filter(({ consumer }) => alive.has(consumer));
  }

  private ofFilter(filter: string): Promise<ReadSet[]> {
    const found = this.byFilter.get(filter) ?? this.setsOf(filter);
    this.byFilter.set(filter, found);
    return found;
  }

  private async setsOf(topic: string): Promise<ReadSet[]> {
    return (await this.store.positionsOfTopic(topic))
      .filter(({ consumer }) => consumer !== FILTERS)
      .map((position) => ReadSet.of(position));
  }
}
