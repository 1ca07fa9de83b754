import { RetryableError } from '../../src/base/errors';
import { TOMBSTONE_MS } from '../../src/mailbox/times';
import type { Message } from '../../src/mqtt/message';
import type { Store } from '../../src/stores/store';
import { pause } from '../services/wait';
import { message, newId } from '../support/messages';

const TOPICS_OF_A_LANE = 8;
const BATCH = 64;
/** Between two batches of a lane, so that an outage of half a minute does not make more messages than a test can compare. */
const PAUSE_MS = 250;
const RETRY_MS = 200;
const PATIENCE_MS = 60_000;
export const LIFE_MS = 3_600_000;
const LATE_MS = 600_000;

/** Repeats what may succeed later, as the server's lanes do, and notes how often and how long that took. */
export class Calls {
  retried = 0;
  slowestMs = 0;

  async run<T>(call: () => Promise<T>): Promise<T> {
    for (const start = Date.now(); ; this.retried++) {
      try {
        const result = await call();
        this.slowestMs = Math.max(this.slowestMs, Date.now() - start);
        return result;
      } catch (error) {
        if (!(error instanceof RetryableError) || Date.now() - start > PATIENCE_MS) throw error;
        await pause(RETRY_MS);
      }
    }
  }
}

/** What the store has confirmed to have saved and to have removed. */
export class Backlog {
  readonly calls = new Calls();
  batches = 0;
  private readonly saved = new Map<string, Message[]>();
  private readonly gone = new Set<string>();

  constructor(private readonly store: Store) {}

  /** Publishes to the topics of this lane and saves batch after batch. One topic has messages that come ten minutes late. */
  async publish(lane: number, goesOn: () => boolean): Promise<void> {
    for (let sequence = 0; goesOn(); await pause(PAUSE_MS)) {
      const batch = Array.from({ length: BATCH }, () => newMessage(lane, sequence++));
      await this.save(batch);
      for (const each of batch) this.note(each);
      this.batches++;
    }
  }

  private note(saved: Message): void {
    const own = this.saved.get(saved.topic);
    if (own === undefined) this.saved.set(saved.topic, [saved]);
    else own.push(saved);
  }

  async save(messages: readonly Message[]): Promise<void> {
    for (const part of parts(messages)) expect(await this.calls.run(() => this.store.saveMessages(part))).toEqual([]);
  }

  async remove(messages: readonly Message[]): Promise<void> {
    for (const part of parts(messages)) {
      await this.calls.run(() => this.store.removeMessages(part, Date.now() + TOMBSTONE_MS));
      for (const { id } of part) this.gone.add(id);
    }
  }

  /** Every third message of each topic. */
  thirds(): Message[] {
    return [...this.saved.values()].flatMap((messages) => messages.filter((_, i) => i % 3 === 0));
  }

  all(): Message[] {
    return [...this.saved.values()].flat();
  }

  left(): Message[] {
    return this.all().filter(({ id }) => !this.gone.has(id));
  }

  /** What a reader must find: each topic with its messages in the order of their publishing. */
  expected(keep: (message: Message) => boolean = () => true): Record<string, string[]> {
    const kept = this.left().filter(keep);
    return Object.fromEntries(
      [...this.saved.keys()].sort().map((topic) => [topic, kept.filter((each) => each.topic === topic).map(textOf)]),
    );
  }
}

/** What a reader finds: the topics in order, each with its messages. */
export async function contentsOf(store: Store, filter: string, calls: Calls): Promise<Record<string, string[]>> {
  const contents: Record<string, string[]> = {};
  const topics = await calls.run(() => store.listTopics({ filter, after: '', limit: 1_000 }));
  for (const topic of topics) {
    const query = { topic, after: '', limit: 100_000, now: Date.now() };
    contents[topic] = (await calls.run(() => store.listMessages(query))).map(textOf);
  }
  return contents;
}

/** Every fourth message of a topic expires. */
function newMessage(lane: number, sequence: number): Message {
  const topic = sequence % TOPICS_OF_A_LANE;
  const number = Math.floor(sequence / TOPICS_OF_A_LANE);
  const isLate = topic === 0;
  const now = Date.now();
  return message({
    topic: `cluster/${lane}/${isLate ? 'late' : topic}`,
    payload: Buffer.from(`${number} `.padEnd(200, '.')),
    expiresAt: number % 4 === 0 ? now + LIFE_MS : null,
    ...(isLate ? { id: lateId(), publishReceivedAt: now - LATE_MS } : {}),
  });
}

function lateId(): string {
  const id = newId();
  const microseconds = BigInt(`0x${id.slice(0, 16)}`) - BigInt(LATE_MS) * 1_000n;
  return microseconds.toString(16).toUpperCase().padStart(16, '0') + id.slice(16);
}

function parts(messages: readonly Message[]): Message[][] {
  return Array.from({ length: Math.ceil(messages.length / BATCH) }, (_, i) => messages.slice(i * BATCH, (i + 1) * BATCH));
}

const textOf = ({ id, payload, expiresAt }: Message): string => `${id} ${payload.toString()} ${expiresAt}`;
