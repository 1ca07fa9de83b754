import { setTimeout as sleep } from 'node:timers/promises';
import { eachOf } from '../../base/parallel';
import type { Policy } from '../../config/policies';
import { hasPassed, tailsOf, type Sequence } from '../../lanes/sequence';
import type { Store, StoredRef } from '../../stores/store';
import { policyFor } from '../../policies/policy';
import type { ReadSet } from './read-set';
import { knownFilters, TopicReaders } from './topic-readers';
import { GRACE_MS, TOMBSTONE_MS } from '../times';

/**
 * How long the first check of a run may take (ms). On a store where checking a topic is expensive (ClickHouse: 80 ms
 * for a topic with 100,000 rows) one run then covers fewer topics.
 */
const LOOK_MS = 2_000;
const TOPIC_PAGE = 64;
/** How many topics are checked in parallel. */
const WIDTH = 4;
const PAGE = 500;
/** How many messages one run remembers of one topic, and of all topics. */
const MOST_OF_TOPIC = 20_000;
const MOST = 50_000;
/** If the lanes take longer than this (ms), the run ends without removing anything, and the next run tries again. */
const WAIT_MS = 5_000;
const POLL_MS = 50;

export interface ReadPurgerDeps {
  readonly store: Pick<Store, 'listTopics' | 'listRefs' | 'listPositions' | 'positionsOfTopic' | 'removeMessages'>;
  readonly sequence: Sequence;
  /** The names of all lanes of each kind. */
  readonly lanes: { readonly messages: readonly string[]; readonly clients: readonly string[] };
  readonly policies: readonly Policy[];
  readonly now: () => number;
}

/** What a run did. */
export interface ReadPurged {
  readonly removed: number;
  /** True if the run stopped at a limit and removed something. The caller then runs it again at once. */
  readonly more: boolean;
}

interface Found {
  readonly topic: string;
  readonly policy: Policy;
  readonly refs: readonly StoredRef[];
}

/**
 * Removes messages that all consumers have read (pubsub mode), topic by topic. Messages of a topic without known
 * consumers stay until their ttl is over.
 *
 * A run checks twice. Between the checks it waits until the message lanes and then the client lanes have done what they
 * had accepted before. Then each accepted subscription is in a position (promise 4), and each consumer knows of the
 * messages that were stored late (promise 17). Messages that all consumers have read at the second check, too, are
 * removed.
 */
export class ReadPurger {
  private policy = 0;
  private after = '';
  /** Whether a topic was only partly checked since the round of all topics began. */
  private isCut = false;

  constructor(
    private readonly deps: ReadPurgerDeps,
    private readonly lookMs = LOOK_MS,
    private readonly waitMs = WAIT_MS,
  ) {}

  /** @param isStopped true when the server stops; the rest is done after its next start. */
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

  /** @returns messages that all consumers seem to have read, and whether all topics were checked. */
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
      // A younger message may be one that a subscription still waits for, which was made before the message.
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
        // Tombstones are kept, because the message's event may come once more, and no position would know it as read.
        const count = await this.deps.store.removeMessages(own, this.deps.now() + TOMBSTONE_MS);
        removed += count;
      }
    });
    return removed;
  }

  private async readers(): Promise<TopicReaders> {
    return new TopicReaders(this.deps.store, await knownFilters(this.deps.store), this.deps.now());
  }

  /** Whether the lanes do, within waitMs, what they had accepted when this was called. */
  private async isPassed(lanes: readonly string[], isStopped: () => boolean): Promise<boolean> {
    const tails = tailsOf(await this.deps.sequence.progress(lanes));
    for (const deadline = performance.now() + this.waitMs; ; await sleep(POLL_MS)) {
      if (hasPassed(await this.deps.sequence.progress(lanes), tails)) return true;
      if (isStopped() || performance.now() >= deadline) return false;
    }
  }
}

/**
 * The id up to which no message after `after` is read by all consumers. null if no message after it is, or if no
 * consumer is known.
 */
function nextReadByAll(sets: readonly ReadSet[], after: string): string | null {
  let next = sets.length === 0 ? null : after;
  for (const set of sets) {
    const own: string | null = next === null ? null : set.startsAt === null ? set.nextRead(next) : next;
    next = own;
  }
  return next;
}
