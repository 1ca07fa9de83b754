import { setTimeout as sleep } from 'node:timers/promises';
import { RefusedError, RetryableError } from '../base/errors';
import type { Message } from '../mqtt/message';
import type { EmbeddedStore } from '../stores/embedded';
import type { Cursor, Export, Page } from '../stores/embedded/export';
import type { Refusal, Store } from '../stores/store';

/**
 * The kinds of items in the order in which they are copied. Messages come last, so that the read positions are there
 * before them.
 */
export const KINDS = ['retained messages', 'client states', 'subscriptions', 'read positions', 'messages'] as const;
export type Kind = (typeof KINDS)[number];
export type Counts = Readonly<Record<Kind, number>>;

export interface Moved {
  /** How many items the target has now. Items that it had before the move are counted as well. */
  readonly counts: Counts;
  /** Messages that were not copied because they have expired. */
  readonly expired: number;
  readonly refused: number;
  /** The first of the items that the target rejected. */
  readonly refusals: readonly Refusal[];
}

export interface MovingOptions {
  /** The time of now (ms). Messages that have expired by then are not copied. */
  readonly now: number;
  /** Called about once a second. */
  readonly onProgress?: (counts: Counts) => void;
  /** The pauses before a write is tried again while the target is away or busy (ms). */
  readonly pauses?: readonly number[];
}

const BATCH_ITEMS = 256;
const BATCH_BYTES = 4 * 1024 * 1024;
const PROGRESS_MS = 1_000;
const MOST_REFUSALS = 20;
const PAUSES: readonly number[] = [500, 1_000, 2_000, 4_000, 8_000];

/**
 * Copies everything but the tombstones from one store to another. Without a target the items are only counted. Copying
 * twice has the effect of once, because messages are saved by their ids, positions by their versions, and states by
 * their times. The memory holds one page and one batch.
 */
export async function copyAll(source: EmbeddedStore, target: Store | null, options: MovingOptions): Promise<Moved> {
  const copy = new Copy(target, options);
  await copy.run(source.exportAll());
  return copy.result(await source.countMessages());
}

class Copy {
  private readonly counts: Record<Kind, number> = {
    'retained messages': 0,
    'client states': 0,
    subscriptions: 0,
    'read positions': 0,
    messages: 0,
  };
  /** The number of messages that were read. The store leaves out expired ones. */
  private found = 0;
  private expiredRetained = 0;
  private refused = 0;
  private readonly refusals: Refusal[] = [];
  private told = performance.now();

  constructor(
    private readonly target: Store | null,
    private readonly options: MovingOptions,
  ) {}

  async run(all: Export): Promise<void> {
    const { target } = this;
    const retained = this.living(itemsOf((after) => all.retained(after, BATCH_ITEMS)));
    await this.put(
      'retained messages',
      retained,
      (batch) => target?.putRetained(batch),
      ({ id }) => id,
      sizeOf,
    );
    const states = itemsOf((after) => all.clientStates(after, BATCH_ITEMS));
    await this.put(
      'client states',
      states,
      (batch) => target?.saveClientStates(batch),
      ({ clientid }) => clientid,
    );
    const subscriptions = itemsOf((after) => all.subscriptions(after, BATCH_ITEMS));
    await this.put(
      'subscriptions',
      subscriptions,
      (batch) => target?.putSubscriptions(batch),
      ({ clientid, topic }) => `${clientid} ${topic}`,
    );
    const positions = itemsOf((after) => all.positions(after, BATCH_ITEMS));
    await this.put(
      'read positions',
      positions,
      (batch) => target?.putPositions(batch),
      ({ consumer, topic }) => `${consumer} ${topic}`,
    );
    await this.put(
      'messages',
      this.messages(all),
      (batch) => target?.saveMessages(batch),
      ({ id }) => id,
      sizeOf,
    );
  }

  private async *living(messages: AsyncIterable<Message>): AsyncGenerator<Message> {
    for await (const message of messages) {
      if (message.expiresAt === null || message.expiresAt > this.options.now) yield message;
      else this.expiredRetained++;
    }
  }

  /** Reads the messages of all topics as one sequence, so that a batch may have messages of many topics. */
  private async *messages(all: Export): AsyncGenerator<Message> {
    const { now } = this.options;
    for await (const topic of itemsOf((after) => all.topics(after, BATCH_ITEMS))) {
      for await (const message of itemsOf((after) => all.messages({ topic, now }, after, BATCH_ITEMS))) {
        this.found++;
        yield message;
      }
    }
  }

  private async put<T>(
    kind: Kind,
    items: AsyncIterable<T>,
    save: Save<T>,
    nameOf: (item: T) => string,
    size: (item: T) => number = () => 0,
  ): Promise<void> {
    for await (const batch of batchesOf(items, size)) {
      const refused = await this.save(batch, save, nameOf);
      this.counts[kind] += batch.length - refused.length;
      this.refused += refused.length;
      this.refusals.push(...refused.slice(0, MOST_REFUSALS - this.refusals.length));
      this.tell();
    }
  }

  /** Saves a batch. If the target rejects it because of one item, each item is saved by itself. */
  private async save<T>(batch: readonly T[], save: Save<T>, nameOf: (item: T) => string): Promise<readonly Refusal[]> {
    try {
      return (await this.patiently(() => save(batch))) ?? [];
    } catch (error) {
      const [first] = batch;
      if (!(error instanceof RefusedError) || first === undefined) throw error;
      if (batch.length === 1) return [{ id: nameOf(first), reason: error.message }];
      const refused: Refusal[] = [];
      for (const item of batch) refused.push(...(await this.save([item], save, nameOf)));
      return refused;
    }
  }

  /** Tries again after pauses, so that a target that is busy or away for some seconds does not end the move. */
  private async patiently<R>(work: () => R): Promise<Awaited<R>> {
    for (const pause of this.options.pauses ?? PAUSES) {
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof RetryableError)) throw error;
        await sleep(pause);
      }
    }
    return await work();
  }

  private tell(): void {
    if (performance.now() < this.told + PROGRESS_MS) return;
    this.told = performance.now();
    this.options.onProgress?.({ ...this.counts });
  }

  result(stored: number): Moved {
    const { counts, refused, refusals } = this;
    return { counts, expired: stored - this.found + this.expiredRetained, refused, refusals };
  }
}

type Save<T> = (batch: readonly T[]) => Promise<Refusal[] | void> | undefined;

/** About the size of a message in bytes. Everything but the payload is small. */
const sizeOf = ({ payload }: Message): number => payload.length;

async function* itemsOf<T>(pageAfter: (after: Cursor) => Promise<Page<T>>): AsyncGenerator<T> {
  let after: Cursor = null;
  do {
    const page: Page<T> = await pageAfter(after);
    yield* page.items;
    after = page.next;
  } while (after !== null);
}

async function* batchesOf<T>(items: AsyncIterable<T>, sizeOf: (item: T) => number): AsyncGenerator<T[]> {
  let [batch, bytes] = [[] as T[], 0];
  for await (const item of items) {
    if (batch.length >= BATCH_ITEMS || (batch.length > 0 && bytes + sizeOf(item) > BATCH_BYTES)) {
      yield batch;
      [batch, bytes] = [[], 0];
    }
    batch.push(item);
    bytes += sizeOf(item);
  }
  if (batch.length > 0) yield batch;
}
