import type { Policy } from '../../config/policies';
import type { Store } from '../../stores/store';
import { serves } from '../positions/readers';
import type { Message } from '../../mqtt/message';
import { policyFor } from '../../policies/policy';
import type { Positions } from '../positions/positions';
import type { ReadSet } from '../positions/read-set';
import type { RetainedIds } from '../retained/retained-ids';
import { isWildcard, splitShare } from '../../mqtt/topic';
import type { Run } from './window';

/** Bounds what one read brings into memory: messages may have 1 MB each. */
const PAGE = 32;
const TOPICS = 64;

export interface Page {
  readonly policy: Policy;
  /** Of one topic, in publish order; at least one. */
  readonly messages: readonly Message[];
  /** The run after this page. */
  readonly run: Run;
  /** When they were in the store and so not acknowledged (ms, our clock). */
  readonly readAt: number;
}

/** Where a consumer goes on in pubsub mode. */
export interface Place {
  readonly consumer: string;
  readonly positions: Pick<Positions, 'load'>;
}

/**
 * Reads a run's messages page by page: topic after topic, each in publish order (promise 6). What was published after the
 * subscription is left to EMQX, which delivers it itself.
 */
export class RunReader {
  /** Topics read ahead, for the run's filter. */
  private ahead: string[] = [];
  /** Of topics in pubsub mode; nobody else changes them while we read (the consumer's lane). */
  private readonly sets = new Map<string, ReadSet>();

  constructor(
    private readonly store: Pick<Store, 'listTopics' | 'listMessages'>,
    private readonly policies: readonly Policy[],
    private readonly retained: Pick<RetainedIds, 'idOf'>,
    private readonly place: Place,
  ) {}

  /** The next page with at most as many messages as there is room for under their policy; null at the end of the run. */
  async next(run: Run, roomOf: (policy: Policy) => number, now: number): Promise<Page | 'full' | null> {
    for (let at = run.topic === '' ? await this.nextTopic(run) : run; at !== null; at = await this.nextTopic(at)) {
      const policy = policyFor(this.policies, at.topic);
      if (policy === null || !serves(at, policy.mode)) continue;
      const room = roomOf(policy);
      if (room <= 0) return 'full';
      const messages = await this.page(at, policy, Math.min(PAGE, room), now);
      const last = messages.at(-1);
      if (last !== undefined) return { policy, messages, run: { ...at, id: last.id, window: policy.window }, readAt: now };
    }
    return null;
  }

  private async page(run: Run, { fetch, mode }: Policy, room: number, now: number): Promise<Message[]> {
    const read = mode === 'pubsub' ? await this.readSet(run) : null;
    const limit = fetch.limit === null ? room : Math.min(room, fetch.limit - run.sent);
    if (limit <= 0) return [];
    const oldest = Math.max(fetch.maxAgeMs === null ? -Infinity : run.at - fetch.maxAgeMs, read?.startsAt ?? -Infinity);
    for (let after = run.id; ; ) {
      if (read !== null) after = read.skip(after);
      const messages = await this.store.listMessages({ topic: run.topic, after, limit, now });
      const last = messages.at(-1);
      // Ids are in publish order: behind one that is too young there are only younger ones.
      const atEnd = messages.length < limit || last === undefined || last.publishReceivedAt > run.at;
      const due = messages.filter((message) => message.publishReceivedAt <= run.at && message.publishReceivedAt >= oldest && read?.has(message) !== true);
      const own = run.leaveRetained ? await this.withoutRetained(run.topic, due) : due;
      if (own.length > 0 || atEnd) return own;
      after = skipTo(oldest, last.id);
    }
  }

  private async readSet(run: Run): Promise<ReadSet> {
    if (!this.sets.has(run.topic)) {
      const topics = [run.topic, ...this.ahead.filter((topic) => policyFor(this.policies, topic)?.mode === 'pubsub')];
      const { filter } = splitShare(run.filter);
      this.sets.clear();
      for (const set of await this.place.positions.load(this.place.consumer, topics, isWildcard(filter) ? [filter] : [])) this.sets.set(set.topic, set);
    }
    return this.sets.get(run.topic) as ReadSet;
  }

  private async withoutRetained(topic: string, messages: Message[]): Promise<Message[]> {
    if (!messages.some(({ retain }) => retain)) return messages;
    const retained = await this.retained.idOf(topic);
    return messages.filter(({ id }) => id !== retained);
  }

  private async nextTopic(run: Run): Promise<Run | null> {
    const { filter } = splitShare(run.filter);
    if (!isWildcard(filter)) return run.topic === '' ? { ...run, topic: filter, id: '' } : null;
    if (this.ahead.length === 0) this.ahead = await this.store.listTopics({ filter, after: run.topic, limit: TOPICS });
    const topic = this.ahead.shift();
    return topic === undefined ? null : { ...run, topic, id: '' };
  }
}

/** EMQX's ids begin with the microseconds since 1970 as 16 hex digits: too old ones are skipped without reading them. */
function skipTo(oldest: number, lastId: string): string {
  if (!/^[0-9A-F]{32}$/.test(lastId) || !(oldest > 0)) return lastId;
  const floor = (BigInt(Math.floor(oldest)) * 1000n).toString(16).toUpperCase().padStart(16, '0');
  return floor > lastId ? floor : lastId;
}
