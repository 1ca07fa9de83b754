import { setTimeout as sleep } from 'node:timers/promises';
import { eachOf } from '../../base/parallel';
import type { Policy } from '../../config/policies';
import { hasPassed, tailsOf, type Sequence } from '../../lanes/sequence';
import type { Store, StoredRef } from '../../stores/store';
import { policyFor } from '../../policies/policy';
import type { ReadSet } from './read-set';
import { knownFilters, TopicReaders } from './topic-readers';
import { GRACE_MS, TOMBSTONE_MS } from '../times';

/** The first look's time in a run: on a store where a look costs much (ClickHouse: 80 ms a topic with 100,000 rows) it sees fewer topics. */
const LOOK_MS = 2_000;
const TOPIC_PAGE = 64;
/** Topics that are looked at side by side. */
const WIDTH = 4;
const PAGE = 500;
/** What one run keeps in mind of one topic, and of all. */
const MOST_OF_TOPIC = 20_000;
const MOST = 50_000;
/** Lanes that take longer are behind: the next run tries again. */
const WAIT_MS = 5_000;
const POLL_MS = 50;

export interface ReadPurgerDeps {
  readonly store: Pick<Store, 'listTopics' | 'listRefs' | 'listPositions' | 'positionsOfTopic' | 'removeMessages'>;
  readonly sequence: Sequence;
  /** Names of all lanes of each kind. */
  readonly lanes: { readonly messages: readonly string[]; readonly clients: readonly string[] };
  readonly policies: readonly Policy[];
  readonly now: () => number;
}

/** What a run did. */
export interface ReadPurged {
  readonly removed: number;
  /** It stopped at a limit, and found something: to be run again at once. */
  readonly more: boolean;
}

interface Found {
  readonly topic: string;
  readonly policy: Policy;
  readonly refs: readonly StoredRef[];
}

/**
 * Removes what everybody has read (pubsub mode), topic after topic. Where nobody is known, messages stay until the ttl is over.
 *
 * A run looks twice. Between the looks the message lanes and then the client lanes do what they had accepted before: a subscription that was accepted is
 * then in a position (promise 4), and so is what a writer told of a message that came late (promise 17). What everybody has read at the second look, too, goes.
 */
export class ReadPurger {
  private policy = 0;
  private after = '';
  /** Since the list of topics began. */
  private isCut = false;

  constructor(
    private readonly deps: ReadPurgerDeps,
    private readonly lookMs = LOOK_MS,
    private readonly waitMs = WAIT_MS,
  ) {}

  /** @param isStopped the server stops: what is left is done after its next start. */
  async run(isStopped = (): boolean => false): Promise<ReadPurged> {
    const pubsub = this.deps.policies.filter(({ mode }) => mode === 'pubsub');
    if (pubsub.length === 0) return { removed: 0, more: false };
    const start = { policy: this.policy, after: this.after };
    const { found, isOver } = await this.look(pubsub);
    if (found.length === 0) return { removed: 0, more: false };
    const { messages, clients } = this.deps.lanes;
    if (!(await this.isPassed(messages, isStopped)) || !(await this.isPassed(clients, isStopped))) {
      ({ policy: this.policy, after: this.after } = start);
      return { removed: 0, more: false };
    }
    const removed = await this.remove(found, isStopped);
    return { removed, more: removed > 0 && !isOver };
  }

  /** @returns what seems to be read by all, and whether that is of all topics. */
  private async look(pubsub: readonly Policy[]): Promise<{ found: Found[]; isOver: boolean }> {
    const readers = await this.readers();
    const deadline = performance.now() + this.lookMs;
    const found: Found[] = [];
    let count = 0;
    for (let policies = 0; policies < pubsub.length;) {
      const policy = pubsub[this.policy % pubsub.length] as Policy;
      const topics = await this.deps.store.listTopics({ filter: policy.filter, after: this.after, limit: TOPIC_PAGE });
      for (let i = 0; i < topics.length; i += WIDTH) {
        await eachOf(topics.slice(i, i + WIDTH), WIDTH, async (topic) => {
          if (policyFor(this.deps.policies, topic) !== policy) return;
          const refs = await this.readByAll(topic, await readers.of(topic, policy), deadline);
          if (refs.length > 0) found.push({ topic, policy, refs });
          count += refs.length;
        });
        this.after = topics[Math.min(i + WIDTH, topics.length) - 1] as string;
        if (count >= MOST || performance.now() >= deadline) return { found, isOver: false };
      }
      if (topics.length === TOPIC_PAGE) continue;
      [this.after, this.policy] = ['', (this.policy + 1) % pubsub.length];
      policies++;
    }
    const isOver = !this.isCut;
    this.isCut = false;
    return { found, isOver };
  }

  private async readByAll(topic: string, sets: readonly ReadSet[], deadline: number): Promise<StoredRef[]> {
    const now = this.deps.now();
    const found: StoredRef[] = [];
    for (let after = nextReadByAll(sets, ''); after !== null;) {
      const refs = await this.deps.store.listRefs({ topic, after, limit: PAGE, now });
      // A message that is younger may be one that a subscription waits for which came before it.
      const old = refs.filter(({ publishReceivedAt }) => publishReceivedAt < now - GRACE_MS);
      found.push(...old.filter((ref) => sets.every((set) => set.has(ref))));
      const last = refs.at(-1);
      if (refs.length < PAGE || old.length === 0 || last === undefined) break;
      if (found.length >= MOST_OF_TOPIC || performance.now() >= deadline) {
        this.isCut = true;
        break;
      }
      after = nextReadByAll(sets, last.id);
    }
    return found;
  }

  private async remove(found: readonly Found[], isStopped: () => boolean): Promise<number> {
    const readers = await this.readers();
    let removed = 0;
    await eachOf(found, WIDTH, async ({ topic, policy, refs }) => {
      const sets = await readers.of(topic, policy);
      const done = sets.length === 0 ? [] : refs.filter((ref) => sets.every((set) => set.has(ref)));
      for (let i = 0; i < done.length && !isStopped(); i += PAGE) {
        const own = done.slice(i, i + PAGE).map(({ id }) => ({ topic, id }));
        // The tombstones: its event may come once more, and nobody's position would know it as read.
        const count = await this.deps.store.removeMessages(own, this.deps.now() + TOMBSTONE_MS);
        removed += count;
      }
    });
    return removed;
  }

  private async readers(): Promise<TopicReaders> {
    return new TopicReaders(this.deps.store, await knownFilters(this.deps.store), this.deps.now());
  }

  /** Whether the lanes have done what they had accepted by now. */
  private async isPassed(lanes: readonly string[], isStopped: () => boolean): Promise<boolean> {
    const tails = tailsOf(await this.deps.sequence.progress(lanes));
    for (const deadline = performance.now() + this.waitMs; ; await sleep(POLL_MS)) {
      if (hasPassed(await this.deps.sequence.progress(lanes), tails)) return true;
      if (isStopped() || performance.now() >= deadline) return false;
    }
  }
}

/** Somebody has not read anything from `after` to the result; null: behind it. Nobody is known: null. */
function nextReadByAll(sets: readonly ReadSet[], after: string): string | null {
  let next = sets.length === 0 ? null : after;
  for (const set of sets) {
    const own: string | null = next === null ? null : set.startsAt === null ? set.nextRead(next) : next;
    next = own;
  }
  return next;
}
