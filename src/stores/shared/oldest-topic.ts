import type { MessageStore, TopicCount } from '../store';

/** Together these match every topic but those that begin with another `$...` level. */
const FILTERS = ['#', '$offline/#'] as const;
/** Topics that were found to have the oldest messages: each answer looks at them again. */
const REMEMBERED = 20;

/**
 * The oldest message where a database finds messages by their topic only: each answer looks at the first message of some topics, where the
 * answer before stopped, and of those that had the oldest ones so far. A store with no more topics than `step` gets an exact answer, one
 * with more gets it when all topics have had their turn.
 */
export class OldestTopic {
  private known: string[] = [];
  private place = { filter: 0, after: '' };

  constructor(
    private readonly store: Pick<MessageStore, 'listTopics'>,
    private readonly firstOf: (topics: readonly string[], now: number) => Promise<readonly TopicCount['oldestAt'][]>,
    private readonly step: number,
  ) {}

  async find(now: number): Promise<number | null> {
    const asked = [...new Set([...this.known, ...(await this.next())])];
    const times = await this.firstOf(asked, now);
    // 0 stands for a time that a taken over row does not have (leastKnown).
    const found = asked
      .flatMap((topic, i) => (times[i] == null || times[i] === 0 ? [] : [{ topic, at: times[i] }]))
      .sort((a, b) => a.at - b.at);
    this.known = found.slice(0, REMEMBERED).map(({ topic }) => topic);
    return found[0]?.at ?? null;
  }

  /** Goes through each filter at most once. */
  private async next(): Promise<string[]> {
    const topics: string[] = [];
    for (let filters = 0; filters < FILTERS.length && topics.length < this.step; filters++) {
      const { filter, after } = this.place;
      const page = await this.store.listTopics({ filter: FILTERS[filter] ?? '#', after, limit: this.step - topics.length });
      topics.push(...page);
      const last = page.at(-1);
      this.place =
        last !== undefined && topics.length >= this.step ? { filter, after: last } : { filter: (filter + 1) % FILTERS.length, after: '' };
    }
    return topics;
  }
}
