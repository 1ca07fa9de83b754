import type { Policy } from '../../config/policies';
import type { Store } from '../../stores/store';
import { matches } from '../../mqtt/topic';
import { FILTERS, startOf } from './known';
import { ReadSet } from './read-set';

const FILTER_PAGE = 100;

type Positions = Pick<Store, 'listPositions' | 'positionsOfTopic'>;

/** Wildcard filters that have consumers. */
export async function knownFilters(store: Positions): Promise<string[]> {
  const found: string[] = [];
  for (let after: string | undefined = ''; after !== undefined;) {
    const page = await store.listPositions(FILTERS, after, FILTER_PAGE);
    found.push(...page.map(({ topic }) => topic));
    after = page.length < FILTER_PAGE ? undefined : page.at(-1)?.topic;
  }
  return found;
}

/** Who reads the topic: who has a position in it or a wildcard filter that matches it, and was seen within the policy's ttl. One for a look. */
export class TopicReaders {
  /** Rows of the filters, for all topics. */
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
    const rows = new Map<string, ReadSet[]>();
    for (const row of starting) rows.set(row.consumer, [...(rows.get(row.consumer) ?? []), row]);
    const known = new Map(own.map((set) => [set.consumer, set]));
    for (const [consumer, ofConsumer] of rows) if (!known.has(consumer)) known.set(consumer, startOf(consumer, topic, policy, ofConsumer));
    // What EMQX's own plugin left does not say when.
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
