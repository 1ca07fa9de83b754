import type { Policy } from '../../config/policies';
import type { SharedState } from '../../lanes/state';
import type { Store } from '../../stores/store';
import { eachOf, groupBy } from '../../base/parallel';
import type { Message, MessageRef } from '../../mqtt/message';
import { policyFor } from '../../policies/policy';
import { mayCover } from './compaction';
import { markOf } from './known';
import { ReadSet } from './read-set';

/** A message that was stored, and a consumer whose position may have passed it. */
export interface LateRef extends MessageRef {
  readonly consumer: string;
}

export interface LateWritesDeps {
  readonly store: Pick<Store, 'getMessage' | 'positionsOfTopic'>;
  readonly state: Pick<SharedState, 'getAll'>;
  /** Into each consumer's lane. Resolves when the queue has them. */
  readonly lanes: { late(late: readonly LateRef[]): Promise<void> };
  readonly policies: readonly Policy[];
}

/** Looked up side by side. */
const WIDTH = 8;
/** Ids whose write failed here and was not done since. */
const MOST_IN_DOUBT = 100_000;

/**
 * Promise 17: a message that is stored when somebody's position has passed its id already (EMQX sent its event minutes after the others, say) is told
 * to each such consumer. Consumer and writer agree without a lock:
 *
 *     a consumer   1. raises the topic's shared mark to the id that it is going to pass   2. lists what is stored
 *                  3. covers what it listed and knows as read   4. writes its row
 *     a writer     a. stores the message   b. reads the mark   c. reads the topic's rows, and tells
 *
 * Either the list (2) has the message, and the consumer knows whether it has read it. Or the list was made before the message was stored (a), then the
 * mark was raised (1) before the writer reads it (b): it knows that somebody may have passed the message. Whom it tells the rows say as they are
 * stored: who hides the message, as after 4; and who may cover (compaction.ts), as before 4, since nobody does 1 to 3 whose row does not say so. A consumer
 * takes the news in its own lane, so behind the pass that did 4, and writes its row with a new version, so that a pass that stood still between 2 and 4
 * can't write any more. The message's job is done when the news is in the lanes: a subscription that waits for the job finds both.
 *
 * An event that EMQX repeats is no late write: the message is stored already, and may be read by all of them. Of a write that failed or whose process
 * died that says nothing. In a quiet system all of this costs two reads of the shared state for a batch.
 */
export class LateWrites {
  /** That these are stored does not mean that an event was repeated. */
  private readonly inDoubt = new Set<string>();

  constructor(
    private readonly deps: LateWritesDeps,
    private readonly loose?: number,
  ) {}

  readonly isPubsub = (topic: string): boolean => policyFor(this.deps.policies, topic)?.mode === 'pubsub';

  /** `takenOver`: this write may have been done by a process that died. */
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
    await eachOf(behind, WIDTH, async ({ id }) => {
      if ((await this.deps.store.getMessage(id)) !== null) repeated.add(id);
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
