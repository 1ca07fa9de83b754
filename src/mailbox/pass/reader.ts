import type { Policy } from '../../config/policies';
import type { Message } from '../../mqtt/message';
import { isWildcard, splitShare } from '../../mqtt/topic';
import { timeOf } from '../../mqtt/message-id';
import { policyFor } from '../../policies/policy';
import type { Store, StoredRef } from '../../stores/store';
import { isGroup, START, type Cursor, type Run } from '../box/mailbox';
import { serves } from '../positions/readers';
import type { ReadSet } from '../positions/read-set';
import type { RetainedIds } from '../retained/retained-ids';
import { LookBack, type LookBackDeps } from './look-back';
import type { Seat } from './seat';

/** How many topics are listed ahead. */
const TOPICS = 64;
/**
 * After this many reads in one pass a run continues in the next pass, so that other mailboxes of the lane don't wait.
 */
const READS = 64;
/** How many messages that are too old for the run are passed over with one read. */
const SKIPPED = 1_000;
/** About how many bytes one read brings into memory. A message may have 1 MB. */
const PAGE_BYTES = 1024 * 1024;
const [LEAST_PAGE, MOST_PAGE] = [2, 128];

export interface Page {
  readonly policy: Policy;
  /** Messages of one topic in publish order; at least one. */
  readonly messages: readonly Message[];
  /** Where the run continues after this page. */
  readonly cursor: Cursor;
  /** True if the messages were stored behind the run's cursor, which they do not move. */
  readonly isLate?: boolean;
  /** When the messages were read from the store, and so not acknowledged (ms, the server's clock). */
  readonly readAt: number;
}

/** `full`: the window has no room. `tired`: the run has read enough for one pass. `end`: nothing is left to read. */
export type Reading = Page | { readonly stop: 'full' | 'tired'; readonly cursor: Cursor } | { readonly stop: 'end' };

export interface ReaderDeps extends LookBackDeps {
  readonly store: Pick<Store, 'listTopics' | 'listMessages' | 'listRefs'>;
  readonly policies: readonly Policy[];
  readonly retained: Pick<RetainedIds, 'idOf'>;
}

/** Adapts the size of a page to the size of recent messages: a page of small messages has more of them. */
export class PageSize {
  private average = PAGE_BYTES / MOST_PAGE;

  get limit(): number {
    return Math.min(MOST_PAGE, Math.max(LEAST_PAGE, Math.floor(PAGE_BYTES / this.average)));
  }

  learn(messages: readonly Message[]): void {
    if (messages.length === 0) return;
    const bytes = messages.reduce((sum, { payload }) => sum + payload.length, 0);
    this.average = Math.max(bytes / messages.length, this.average * 0.9, 1);
  }
}

/**
 * Reads a run's messages page by page: topic after topic, each in publish order (promise 6). Messages that were
 * published after the subscription are left out, because EMQX delivers them itself. One reader serves one run in one
 * pass.
 */
export class RunReader {
  private ahead: string[] = [];
  private readonly sets = new Map<string, ReadSet>();
  private readonly back: LookBack;
  private reads = 0;

  constructor(
    private readonly deps: ReaderDeps,
    private readonly size: PageSize,
    private readonly seat: Seat,
    private readonly run: Run,
  ) {
    this.back = new LookBack(deps, seat, run, (topic, messages) => this.withoutRetained(topic, messages));
  }

  /** A shared subscription has two runs: one in the client's mailbox and one in the group's. */
  private get served(): { filter: string; consumer?: string } {
    const { filter } = this.run;
    return isGroup(this.seat.mailbox) ? { filter, consumer: this.seat.consumer } : { filter };
  }

  /**
   * @param sent how many messages the run has sent (policy fetch.limit).
   * @param roomOf how many messages a policy has room for.
   * @returns the next page, or why there is none.
   */
  async next(from: Cursor, sent: number, roomOf: (policy: Policy) => number, now: number): Promise<Reading> {
    for (let at = from.topic === START.topic ? await this.nextTopic(from) : from; at !== null; at = await this.nextTopic(at)) {
      const policy = policyFor(this.deps.policies, at.topic);
      if (policy === null || !serves(this.served, policy.mode) || (this.run.qos === 0 && policy.qos0 === 'skip')) continue;
      const room = roomOf(policy);
      if (room <= 0) return { stop: 'full', cursor: at };
      const page = await this.page(at, policy, { room, sent, now });
      if ('stop' in page || page.messages.length > 0) return page;
    }
    return { stop: 'end' };
  }

  private async page(
    from: Cursor,
    policy: Policy,
    { room, sent, now }: { room: number; sent: number; now: number },
  ): Promise<Page | { stop: 'tired'; cursor: Cursor }> {
    const { run, seat } = this;
    const read = policy.mode === 'pubsub' ? await this.readSet(from.topic) : null;
    const most = Math.min(policy.fetch.limit === null ? room : Math.min(room, policy.fetch.limit - sent), this.size.limit);
    const oldest = Math.max(policy.fetch.maxAgeMs === null ? -Infinity : run.at - policy.fetch.maxAgeMs, read?.startsAt ?? -Infinity);
    const { out, held } = seat.mailbox;
    const isDue = (ref: StoredRef): boolean =>
      ref.publishReceivedAt <= run.at &&
      ref.publishReceivedAt >= oldest &&
      !out.has(ref.id) &&
      !held.has(ref.id) &&
      read?.has(ref) !== true;
    const start = read?.skip('') ?? '';
    let publisher = from.id === '' ? undefined : (from.publisher ?? null);
    for (let after = from.id; most > 0;) {
      if (read !== null) after = read.skip(after);
      if (this.reads++ >= READS) return { stop: 'tired', cursor: cursorAt(from.topic, after, publisher) };
      const messages = await this.deps.store.listMessages({ topic: from.topic, after, limit: most, now });
      this.size.learn(messages);
      publisher = commonPublisher(publisher, messages);
      const last = messages.at(-1);
      const atEnd = messages.length < most || last === undefined || isBehind(last, run.at);
      const own = await this.withoutRetained(from.topic, messages.filter(isDue));
      if (own.length > 0) {
        // The messages of one publisher are stored in their order. If the run has met no other publisher, it has missed
        // none of them.
        const isOrdered = publisher !== null || run.isBlocked || isGroup(seat.mailbox);
        const stretch = { topic: from.topic, after: start, end: after, policy, most, limit: this.size.limit, now };
        const missed = isOrdered ? [] : await this.back.missed(stretch, isDue);
        this.back.saw(missed.length > 0 ? missed : own);
        return missed.length > 0
          ? { policy, messages: missed, cursor: from, isLate: true, readAt: now }
          : { policy, messages: own, cursor: cursorAt(from.topic, last?.id ?? after, publisher), readAt: now };
      }
      if (atEnd) break;
      after = last.publishReceivedAt < oldest ? await this.skipOlder(from.topic, last.id, oldest, now) : last.id;
    }
    return { policy, messages: [], cursor: from, readAt: now };
  }

  /**
   * Passes over messages that are too old, reading only their ids and times. The times must be compared one by one,
   * because an old id may belong to a last will that was sent just now.
   */
  private async skipOlder(topic: string, after: string, oldest: number, now: number): Promise<string> {
    let last = after;
    for (; this.reads < READS; this.reads++) {
      const refs = await this.deps.store.listRefs({ topic, after: last, limit: SKIPPED, now });
      const due = refs.findIndex(({ publishReceivedAt }) => publishReceivedAt >= oldest);
      if (due >= 0) return refs[due - 1]?.id ?? last;
      last = refs.at(-1)?.id ?? last;
      if (refs.length < SKIPPED) break;
    }
    return last;
  }

  private async readSet(topic: string): Promise<ReadSet> {
    if (!this.sets.has(topic)) {
      const topics = [topic, ...this.ahead.filter((each) => policyFor(this.deps.policies, each)?.mode === 'pubsub')];
      const { filter } = splitShare(this.run.filter);
      this.sets.clear();
      for (const set of await this.seat.positions.sets(topics, isWildcard(filter) ? [filter] : [])) this.sets.set(set.topic, set);
    }
    return this.sets.get(topic) as ReadSet;
  }

  private async withoutRetained(topic: string, messages: Message[]): Promise<Message[]> {
    if (!this.run.leavesRetained || !messages.some(({ retain }) => retain)) return messages;
    const retained = await this.deps.retained.idOf(topic);
    return messages.filter(({ id }) => id !== retained);
  }

  private async nextTopic({ topic }: Cursor): Promise<Cursor | null> {
    const { filter } = splitShare(this.run.filter);
    if (!isWildcard(filter)) return topic === '' ? { topic: filter, id: '' } : null;
    if (this.ahead.length === 0) this.ahead = await this.deps.store.listTopics({ filter, after: topic, limit: TOPICS });
    const next = this.ahead.shift();
    return next === undefined ? null : { topic: next, id: '' };
  }
}

/**
 * Whether all messages after this one were published after `at`. Ids sort by the time when they were made, but a last
 * will has the id of its client's CONNECT, so both the id and the time must be later. Example: a will that was sent
 * after the subscription stands before 40 messages from before it.
 */
function isBehind({ id, publishReceivedAt }: Message, at: number): boolean {
  return publishReceivedAt > at && (timeOf(id) ?? Infinity) > at;
}

/** Longer client ids of publishers are not kept in the record. A client id may have 65,535 bytes. */
const LONG = 64;

/** The publisher of these messages and of those before them: undefined if there are none, null if there are several. */
function commonPublisher(before: string | null | undefined, messages: readonly Message[]): string | null | undefined {
  return messages.reduce((publisher, { clientid }) => (publisher === undefined || publisher === clientid ? clientid : null), before);
}

function cursorAt(topic: string, id: string, publisher: string | null | undefined): Cursor {
  return { topic, id, ...(typeof publisher === 'string' && publisher.length <= LONG && { publisher }) };
}
