import type { Policy } from '../../config/policies';
import type { Message } from '../../mqtt/message';
import { isTimed } from '../../mqtt/message-id';
import type { Store, StoredRef } from '../../stores/store';
import type { AcceptedAcks } from '../accepted-acks';
import type { Run } from '../box/mailbox';
import { floorOf } from '../positions/id-list';
import { greater } from '../positions/read-set';
import { fateOf } from './parcel';
import type { Seat } from './seat';

/** How many ids one read brings, and how many ids are compared before one page at most. */
const REFS = 128;
const MOST_REFS = 1_024;
/**
 * Messages that were published longer than this before the subscription (ms) are not looked for. So a backlog from
 * yesterday costs no search, and EMQX would have to be without the server for an hour for such a message to be late.
 */
const LATE_MS = 3_600_000;

export interface LookBackDeps {
  readonly store: Pick<Store, 'listMessages' | 'listRefs'>;
  readonly acks: Pick<AcceptedAcks, 'known'>;
}

/** A part of a topic that a run has passed: the messages after `after` up to `end`. */
export interface Stretch {
  readonly topic: string;
  readonly after: string;
  readonly end: string;
  readonly policy: Policy;
  /** How many messages may be sent, and how many one read brings. */
  readonly most: number;
  readonly limit: number;
  readonly now: number;
}

/**
 * Finds messages that were stored behind the place that a run has come to, so that newer messages of their publishers
 * do not overtake them (promise 6). Example: publishers a and b share a topic, and the events of a are late. The run
 * has sent b's message 7 when a's messages 5 and 9 are stored. From its cursor the run would read 9 and send it, and it
 * would find 5 only when it looks again after 10 s.
 */
export class LookBack {
  /** Ids that the run has read in this pass, and late ones of earlier passes. EMQX may have rejected or dropped them. */
  private readonly seen: Set<string>;

  constructor(
    private readonly deps: LookBackDeps,
    private readonly seat: Seat,
    private readonly run: Run,
    /** Leaves out the topic's retained message if EMQX sends it. */
    private readonly withoutRetained: (topic: string, messages: Message[]) => Promise<Message[]>,
  ) {
    this.seen = new Set(run.late);
  }

  saw(messages: readonly Message[]): void {
    for (const { id } of messages) this.seen.add(id);
  }

  /**
   * @param isDue whether the run would send the message if it read the topic from its start.
   * @returns the first of these messages in publish order; empty if there are none.
   */
  async missed(stretch: Stretch, isDue: (ref: StoredRef) => boolean): Promise<readonly Message[]> {
    const { topic, end, now } = stretch;
    let after = isTimed(end) ? greater(stretch.after, floorOf(this.run.at - LATE_MS)) : stretch.after;
    for (let looked = 0; looked < MOST_REFS && after < end; looked += REFS) {
      const refs = await this.deps.store.listRefs({ topic, after, limit: REFS, now });
      const found = await this.read({ ...stretch, after }, refs, isDue);
      if (found.length > 0 || refs.length < REFS) return found;
      after = refs.at(-1)?.id ?? end;
    }
    return [];
  }

  private async read(stretch: Stretch, refs: readonly StoredRef[], isDue: (ref: StoredRef) => boolean): Promise<readonly Message[]> {
    const { topic, end, policy, most, limit, now } = stretch;
    const unknown = refs.filter((ref) => ref.id <= end && !this.seen.has(ref.id) && isDue(ref));
    for (let rest = await this.withoutAcknowledged(policy, unknown); rest.length > 0; rest = rest.filter(({ id }) => !this.seen.has(id))) {
      const first = rest[0]?.id ?? '';
      const after = refs.findLast(({ id }) => id < first)?.id ?? stretch.after;
      const ids = new Set(rest.map(({ id }) => id));
      const messages = await this.deps.store.listMessages({ topic, after, limit, now });
      const due = messages.filter((message) => ids.has(message.id) && this.isSentAgain(policy, message));
      const found = await this.withoutRetained(topic, due);
      if (found.length > 0) return found.slice(0, most);
      this.saw(messages.filter(({ id }) => ids.has(id)));
      // The message may have been removed meanwhile.
      this.seen.add(first);
    }
    return [];
  }

  /** Acknowledged messages may still be in the store, because their removal waits in the message lane. */
  private async withoutAcknowledged(policy: Policy, refs: readonly StoredRef[]): Promise<readonly StoredRef[]> {
    if (refs.length === 0) return refs;
    const reader = policy.mode === 'queue' ? null : this.run.clientid;
    const isKnown = await this.deps.acks.known(refs.map(({ id }) => ({ id, reader })));
    return refs.filter(({ id }) => !isKnown(id, reader));
  }

  /** A message that stays stored although it was sent must not be sent again for the same subscription. */
  private isSentAgain(policy: Policy, message: Message): boolean {
    const fate = fateOf(message, { seat: this.seat, run: this.run, policy });
    return fate === 'acknowledged' || fate === 'settle';
  }
}
