import { createHash } from 'node:crypto';
import { within } from '../base/deadline';
import { UnavailableError } from '../base/errors';
import { Batcher, Budget } from '../lanes/batcher';
import type { SharedState } from '../lanes/state';

/**
 * How many acknowledgements each of two generations holds, about 5 MB together. Above it the oldest are forgotten. A
 * message whose acknowledgement was forgotten may be sent once more.
 */
const MOST = 25_000;
/** Other processes know an acknowledgement until it is settled, but at most this long (ms). */
const SHARED_MS = 3_600_000;
/**
 * How long other processes know an acknowledgement after it was settled (ms). This is longer than a message may be sent
 * after it was read from the store (sender.ts).
 */
const SETTLED_MS = 30_000;
/** Entries are deleted by giving them this ttl (ms), because the shared state can't delete many entries at once. */
const FORGOTTEN_MS = 1;
/** How long the caller waits for forget (ms). EMQX has waited for the queue already, and gives up after 10 s. */
const FORGET_WITHIN_MS = 500;
const BATCH = {
  maxItems: 2_048,
  maxBytes: Infinity,
  patienceMs: 8_500,
  late: () => new UnavailableError("the queue's database has not taken an acknowledgement in time"),
};
/** Longer reader names are hashed in keys. A client id may have 65,535 bytes. */
const LONG = 64;

/** null in queue mode, where the acknowledgement of any client settles the message. */
type Reader = string | null;

interface Ack {
  readonly id: string;
  readonly reader: Reader;
}

/**
 * Acknowledgements that were accepted recently. Under load they wait in the queue for seconds, while their messages are
 * still in the store. A delivery that has begun must not send these messages. This process knows its own
 * acknowledgements at once, and reads those of other processes from the shared state.
 */
export class AcceptedAcks {
  private young = new Set<string>();
  private old = new Set<string>();
  private count = 0;
  private readonly sharing: Batcher<string>;

  /** @param state null if no other process works on the queue. */
  constructor(
    private readonly state: Pick<SharedState, 'setAll' | 'getAll'> | null,
    private readonly most = MOST,
  ) {
    const flush = (keys: string[]) => this.share(keys, SHARED_MS);
    this.sharing = new Batcher({ ...BATCH, flush, budget: new Budget({ items: Infinity, bytes: Infinity }) });
  }

  /** Called before the event is answered. */
  async note(id: string, reader: Reader): Promise<void> {
    const key = keyOf(id, reader);
    if (++this.count > this.most) [this.old, this.young, this.count] = [this.young, new Set(), 1];
    this.young.add(key);
    if (this.state !== null) await this.sharing.add([key], 0);
  }

  /**
   * These acknowledgements were not accepted after all.
   * @throws UnavailableError when the other processes can't be told soon; they forget the acknowledgements after an
   * hour.
   */
  async forget(acks: readonly Ack[]): Promise<void> {
    const keys = acks.map(({ id, reader }) => keyOf(id, reader));
    for (const key of keys) for (const known of [this.young, this.old]) known.delete(key);
    await within(FORGET_WITHIN_MS, this.share(keys, FORGOTTEN_MS), BATCH.late);
  }

  /** The store shows the effect of these acknowledgements now. */
  async settled(acks: readonly Ack[]): Promise<void> {
    await this.share(
      acks.map(({ id, reader }) => keyOf(id, reader)),
      SETTLED_MS,
    );
  }

  /** Whether this process knows the acknowledgement. */
  has(id: string, reader: Reader): boolean {
    const key = keyOf(id, reader);
    return this.young.has(key) || this.old.has(key);
  }

  /** @returns a function that tells whether this process or another one knows one of these acknowledgements. */
  async known(acks: readonly Ack[]): Promise<(id: string, reader: Reader) => boolean> {
    const keys = new Set(acks.map(({ id, reader }) => keyOf(id, reader)));
    const shared = await this.state?.getAll([...keys].map(sharedKey));
    // The process's own are looked up last, because more may have arrived while the shared state was read.
    return (id, reader) => shared?.has(sharedKey(keyOf(id, reader))) === true || this.has(id, reader);
  }

  private async share(keys: readonly string[], ttlMs: number): Promise<void> {
    if (keys.length > 0)
      await this.state?.setAll(
        keys.map((key) => ({ key: sharedKey(key), value: '' })),
        ttlMs,
      );
  }
}

function keyOf(id: string, reader: Reader): string {
  if (reader === null) return id;
  return `${id}/${reader.length > LONG ? createHash('sha256').update(reader).digest('base64url') : reader}`;
}

const sharedKey = (key: string): string => `acked:${key}`;
