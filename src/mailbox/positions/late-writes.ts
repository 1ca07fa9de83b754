import type { Policy } from '../../config/policies';
import type { Late } from '../../lanes/jobs';
import type { Lanes } from '../../lanes/lanes';
import type { SharedState } from '../../lanes/state';
import type { Store } from '../../stores/store';
import type { Message } from '../../mqtt/message';
import { policyFor } from '../../policies/policy';
import { markOf } from './positions';
import { ReadSet } from './read-set';
import { ANNOUNCED_MS } from '../times';

export interface LateWritesDeps {
  readonly store: Pick<Store, 'getMessage' | 'positionsOfTopic'>;
  readonly state: Pick<SharedState, 'get'>;
  readonly lanes: Pick<Lanes, 'late'>;
  readonly policies: readonly Policy[];
  readonly now: () => number;
}

/**
 * Promise 17: a message that is stored when somebody's position has passed its id already (EMQX sent its event minutes after the others,
 * say) is told to each such consumer, before it is stored. That costs one read of the shared state for each topic; positions are read only
 * when one of the topic has passed the message.
 */
export class LateWrites {
  /** Ids whose write failed, and may be done all the same: that they are stored does not mean that an event was repeated. */
  private readonly inDoubt = new Set<string>();

  constructor(private readonly deps: LateWritesDeps) {}

  readonly isPubsub = (topic: string): boolean => policyFor(this.deps.policies, topic)?.mode === 'pubsub';

  /** `takenOver`: this write may have been done by a process that died. */
  async around<T>(messages: readonly Message[], takenOver: boolean, save: () => Promise<T>): Promise<T> {
    const own = messages.filter(({ topic }) => this.isPubsub(topic));
    if (own.length === 0) return save();
    const begun = this.deps.now();
    await this.tell(own, ({ id }) => takenOver || this.inDoubt.has(id));
    try {
      const result = await save();
      // It was not quick enough for the announcements (ANNOUNCED_MS) of the meantime.
      if (this.deps.now() - begun > ANNOUNCED_MS / 2) await this.tell(own, () => true);
      for (const { id } of own) this.inDoubt.delete(id);
      return result;
    } catch (error) {
      for (const { id } of own) this.inDoubt.add(id);
      throw error;
    }
  }

  private async tell(messages: readonly Message[], inDoubt: (message: Message) => boolean): Promise<void> {
    const byTopic = new Map<string, Message[]>();
    for (const message of messages) byTopic.set(message.topic, [...(byTopic.get(message.topic) ?? []), message]);
    const late = await Promise.all([...byTopic].map(([topic, own]) => this.lateOf(topic, own, inDoubt)));
    if (late.flat().length > 0) await this.deps.lanes.late(late.flat());
  }

  private async lateOf(topic: string, messages: readonly Message[], inDoubt: (message: Message) => boolean): Promise<Late[]> {
    const mark = await this.deps.state.get(markOf(topic));
    const behind = messages.filter(({ id }) => mark !== null && id <= mark);
    if (behind.length === 0) return [];
    const consumers = (await this.deps.store.positionsOfTopic(topic)).map((position) => ReadSet.of(position));
    const late: Late[] = [];
    for (const message of behind) {
      const { id } = message;
      const passed = consumers.filter((set) => set.hides(id));
      // EMQX sent the event again: it is stored, and may be read by all of them.
      if (passed.length === 0 || (!inDoubt(message) && (await this.deps.store.getMessage(id)) !== null)) continue;
      late.push(...passed.map(({ consumer }) => ({ consumer, topic, id })));
    }
    return late;
  }
}
