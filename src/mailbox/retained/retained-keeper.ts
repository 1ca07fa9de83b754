import type { Lanes } from '../../lanes/lanes';
import type { RetainedRef, Store } from '../../stores/store';
import type { Message } from '../../mqtt/message';
import { retainedExpiryOf } from '../../policies/policy';
import type { RestoredCopies } from './restored-copies';
import type { RetainedIds } from './retained-ids';

export interface RetainedKeeperDeps {
  readonly store: Pick<Store, 'putRetained' | 'deleteRetained'>;
  readonly ids: Pick<RetainedIds, 'newest'>;
  readonly copies: Pick<RestoredCopies, 'of'>;
  readonly lanes: Pick<Lanes, 'reconcile'>;
  readonly setAside: (message: Message, reason: string) => Promise<void>;
}

/** Keeps each topic's retained message in the store. The newest by its time wins, whatever the order of the events. */
export class RetainedKeeper {
  constructor(private readonly deps: RetainedKeeperDeps) {}

  /** Runs in the message lane of the topics. The messages have the retain flag and are noted in RetainedIds. */
  async apply(messages: readonly Message[]): Promise<void> {
    if (messages.length === 0) return;
    await this.put(messages.filter(({ payload }) => payload.length > 0));
    const cleared = await this.cleared(messages);
    if (cleared.length > 0) await this.deps.store.deleteRetained(cleared);
    await this.reconcile(messages);
  }

  private async put(messages: readonly Message[]): Promise<void> {
    if (messages.length === 0) return;
    const refusals = await this.deps.store.putRetained(messages.map((message) => ({ ...message, expiresAt: retainedExpiryOf(message) })));
    for (const { id, reason } of refusals) {
      const message = messages.find((each) => each.id === id);
      if (message !== undefined) await this.deps.setAside(message, `the store refused it as a retained message: ${reason}`);
    }
  }

  /**
   * Reads RetainedIds after the put. Example: the event of a deletion arrives before the event of the message that it
   * deletes. The store then accepts the message, although a newer deletion is known, so the message is deleted here.
   */
  private async cleared(messages: readonly Message[]): Promise<RetainedRef[]> {
    const own = messages
      .filter(({ payload }) => payload.length === 0)
      .map(({ topic, id, publishReceivedAt }) => ({ topic, id, publishReceivedAt }));
    const known = await Promise.all(
      topicsOf(messages).map(async (topic) => {
        const newest = await this.deps.ids.newest(topic);
        return newest === null || newest.kept ? [] : [{ topic, id: newest.id, publishReceivedAt: newest.publishReceivedAt }];
      }),
    );
    return [...own, ...known.flat()];
  }

  /**
   * EMQX had these messages before a restored message of the topic replaced them. This must come after the writes above
   * (see Restorer.restore).
   */
  private async reconcile(messages: readonly Message[]): Promise<void> {
    const overtaken = await Promise.all(
      messages.map(async ({ topic, id }) => {
        const copy = await this.deps.copies.of(topic);
        return copy !== null && id !== copy.id && (copy.copyId === null || id < copy.copyId) ? [topic] : [];
      }),
    );
    const topics = [...new Set(overtaken.flat())];
    if (topics.length > 0) await this.deps.lanes.reconcile(topics);
  }
}

function topicsOf(messages: readonly Message[]): string[] {
  return [...new Set(messages.map(({ topic }) => topic))];
}
