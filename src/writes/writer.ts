import type { Metrics } from '../base/metrics';
import type { MessageEvent } from '../lanes/jobs';
import type { Lanes } from '../lanes/lanes';
import type { Store } from '../stores/store';
import type { AcceptedAcks } from '../mailbox/accepted-acks';
import type { LateWrites } from '../mailbox/positions/late-writes';
import { fromWire, type Message } from '../mqtt/message';
import type { RetainedIds } from '../mailbox/retained/retained-ids';
import type { RetainedKeeper } from '../mailbox/retained/retained-keeper';
import { TOMBSTONE_MS } from '../mailbox/times';
import type { Trimmer } from './trimmer';

type AckEvent = Extract<MessageEvent, { kind: 'ack' }>;

export interface WriterDeps {
  readonly store: Pick<Store, 'saveMessages' | 'removeMessages'>;
  readonly lanes: Pick<Lanes, 'history'>;
  readonly retained: Pick<RetainedIds, 'note'>;
  readonly keeper: Pick<RetainedKeeper, 'apply'>;
  readonly trimmer: Pick<Trimmer, 'saved'>;
  readonly acks: Pick<AcceptedAcks, 'settled'>;
  readonly lateWrites: Pick<LateWrites, 'around'>;
  readonly metrics: Metrics;
  /** Sets aside a message that the store rejects because of its content (promise 13). */
  readonly setAside: (message: Message, reason: string) => Promise<void>;
  readonly now: () => number;
}

/**
 * Applies a message lane's events to the store: per batch one write for published messages, and one for
 * acknowledgements.
 */
export class Writer {
  /** Resolves when the previous batch is in the store. */
  private saving: Promise<void> = Promise.resolve();

  constructor(private readonly deps: WriterDeps) {}

  /**
   * Publishes come first. An acknowledgement belongs to a message of the same batch or of an earlier one, or it arrives
   * before its message (promise 3).
   */
  async apply(events: readonly MessageEvent[], takenOver = false): Promise<void> {
    const { before, done } = this.turn();
    try {
      await this.applyBehind(before, events, takenOver);
    } finally {
      done();
    }
  }

  /**
   * Stores batches in the order of their lane. If a run found a later message but not the one before it, it would send
   * them in the wrong order (promise 6). A batch that fails early does not let the next one pass those before it.
   */
  private turn(): { readonly before: Promise<void>; readonly done: () => void } {
    const before = this.saving;
    let done = (): void => undefined;
    this.saving = new Promise<void>((resolve) => (done = resolve)).then(() => before);
    return { before, done };
  }

  private async applyBehind(before: Promise<void>, events: readonly MessageEvent[], takenOver: boolean): Promise<void> {
    const published = events.flatMap((event) =>
      event.kind === 'publish' ? [{ message: fromWire(event.message), retained: event.retained }] : [],
    );
    if (published.length > 0) await this.deps.retained.note(published.map(({ message }) => message));
    await this.deps.keeper.apply(published.flatMap(({ message, retained }) => (retained === undefined ? [] : [message])));
    await before;
    await this.save(
      published.flatMap(({ message, retained }) => (retained === 'only' ? [] : [message])),
      takenOver,
    );
    const acks = events.filter((event) => event.kind === 'ack');
    if (acks.length > 0) await this.acknowledge(acks);
  }

  private async acknowledge(acks: readonly AckEvent[]): Promise<void> {
    this.deps.metrics.messagesRemoved.inc(await this.deps.store.removeMessages(acks, this.deps.now() + TOMBSTONE_MS));
    await this.deps.acks.settled(acks.map(({ id }) => ({ id, reader: null })));
    this.deps.metrics.acksApplied.inc(acks.length);
  }

  private async save(messages: readonly Message[], takenOver: boolean): Promise<void> {
    if (messages.length === 0) return;
    const refusals = await this.deps.lateWrites.around(messages, takenOver, () => this.deps.store.saveMessages(messages));
    this.deps.metrics.messagesStored.inc(messages.length - refusals.length);
    this.deps.metrics.messagesRefused.inc(refusals.length);
    for (const { id, reason } of refusals) {
      const message = messages.find((each) => each.id === id);
      if (message !== undefined) await this.deps.setAside(message, `the store refused it: ${reason}`);
    }
    const refused = new Set(refusals.map(({ id }) => id));
    await this.deps.lanes.history(messages.filter(({ id }) => !refused.has(id)));
    this.deps.trimmer.saved(messages.map(({ topic }) => topic));
  }
}
