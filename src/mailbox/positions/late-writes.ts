import type { Policy } from '../../config/policies';
import type { SharedState } from '../../lanes/state';
import type { Store } from '../../stores/store';
import { eachOf, groupBy } from '../../base/parallel';
import type { Message, MessageRef } from '../../mqtt/message';
import { policyFor } from '../../policies/policy';
import { mayCover } from './compaction';
import { markOf } from './known';
import { ReadSet } from './read-set';

/** A stored message, and a consumer whose position may have passed its id. */
export interface LateRef extends MessageRef {
  readonly consumer: string;
}

export interface LateWritesDeps {
  readonly store: Pick<Store, 'getMessage' | 'positionsOfTopic'>;
  readonly state: Pick<SharedState, 'getAll'>;
  /** Puts each entry into the lane of its consumer. Resolves when the queue has stored them. */
  readonly lanes: { late(late: readonly LateRef[]): Promise<void> };
  readonly policies: readonly Policy[];
}

/** How many messages or topics are looked up in parallel. */
const WIDTH = 8;
/** How many ids of failed writes this process remembers. */
const MOST_IN_DOUBT = 100_000;

/**
 * Keeps promise 17. A message may be stored after a consumer's position has passed its id, for example because EMQX
 * sent its event minutes late. Each such consumer is told. Consumer and writer agree on that without a lock:
 *
 *     a consumer   1. raises the topic's shared mark to the id that it is going to pass   2. lists the stored messages
 *                  3. extends its ranges over those that it has read   4. writes its row
 *     a writer     a. stores the message   b. reads the mark   c. reads the topic's rows and tells the consumers
 *
 * There are two cases. If the list (2) has the message, the consumer knows whether it has read it. If the list was made
 * before the message was stored (a), the mark was raised (1) before the writer read it (b), so the writer knows that a
 * consumer may have passed the message.
 * The stored rows say which consumers the writer tells. One kind hides the message already, as after step 4. The other
 * kind may extend its ranges at the moment, as before step 4; no consumer does steps 1 to 3 unless its stored row
 * allows it (compaction.ts). The consumer handles the news in its own lane, after the pass that did step 4. It writes
 * its row with a new version, so that a pass that stood still between 2 and 4 can no longer write. The message's job is
 * done only when the news is in the lanes, so a subscription that waits for the job finds both.
 *
 * An event that EMQX repeats is no late write: the message was stored before, and all consumers may have read it. A
 * message that is found stored after a failed write, or after its process died, does not count as repeated. In a quiet
 * system all of this costs two reads of the shared state per batch.
 */
export class LateWrites {
  /**
   * Ids of messages whose write failed in this process. If such a message is found stored, that does not prove that its
   * event was repeated.
   */
  private readonly inDoubt = new Set<string>();

  constructor(
    private readonly deps: LateWritesDeps,
    private readonly loose?: number,
  ) {}

  readonly isPubsub = (topic: string): boolean => policyFor(this.deps.policies, topic)?.mode === 'pubsub';

  /** @param takenOver true if a process that died may have done this write before. */
  async around<T>(messages: readonly Message[], takenOver: boolean, save: () => Promise<T>): Promise<T> {
    const own = messages.filter(({ topic }) => this.isPubsub(topic));
    if (own.length === 0) return save();
    const repeated = takenOver ? new Set<string>() : await this.repeated(own);
    try {
      const result = await save();
      await this.tell(own.filter(({ id }) => !repeated.has(id)));
      for (const { id } of own) this.inDoubt.delete(id);
      return result;
    } catch (error) {
      for (const { id } of own) this.inDoubt.add(id);
      for (const id of [...this.inDoubt].slice(0, Math.max(0, this.inDoubt.size - MOST_IN_DOUBT))) this.inDoubt.delete(id);
      throw error;
    }
  }

  private async repeated(messages: readonly Message[]): Promise<ReadonlySet<string>> {
    const repeated = new Set<string>();
    const behind = (await this.behindMark(messages)).filter(({ id }) => !this.inDoubt.has(id));
    await eachOf(behind, WIDTH, async ({ id, topic }) => {
      if ((await this.deps.store.getMessage(id, topic)) !== null) repeated.add(id);
    });
    return repeated;
  }

  private async tell(messages: readonly Message[]): Promise<void> {
    const behind = await this.behindMark(messages);
    const late: LateRef[] = [];
    await eachOf([...groupBy(behind, ({ topic }) => topic)], WIDTH, async ([topic, own]) => {
      for (const position of await this.deps.store.positionsOfTopic(topic)) {
        const set = ReadSet.of(position);
        const all = mayCover(set, this.loose);
        for (const { id } of own) if (all || set.hides(id)) late.push({ consumer: set.consumer, topic, id });
      }
    });
    if (late.length > 0) await this.deps.lanes.late(late);
  }

  private async behindMark(messages: readonly Message[]): Promise<Message[]> {
    if (messages.length === 0) return [];
    const marks = await this.deps.state.getAll([...new Set(messages.map(({ topic }) => markOf(topic)))]);
    return messages.filter(({ topic, id }) => id <= (marks.get(markOf(topic)) ?? ''));
  }
}
