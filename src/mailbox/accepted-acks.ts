import { createHash } from 'node:crypto';
import { within } from '../base/deadline';
import { UnavailableError } from '../base/errors';
import { Batcher, Budget } from '../lanes/batcher';
import type { SharedState } from '../lanes/state';

/** Of each of two generations, about 5 MB. Beyond it the oldest are forgotten: a message may be sent once more then, as at least once allows. */
const MOST = 25_000;
/** Other processes know them until they are settled, at most for so long: what waits in the queue for longer is forgotten by them. ms. */
const SHARED_MS = 3_600_000;
/** And after that: longer than what was read from the store before may still be sent (sender.ts). ms. */
const SETTLED_MS = 30_000;
/** The shared state has no other way to delete many. ms. */
const FORGOTTEN_MS = 1;
/** Whoever posted has waited for the queue already, and EMQX gives up after 10 s. ms. */
const FORGET_WITHIN_MS = 500;
const BATCH = {
  maxItems: 2_048,
  maxBytes: Infinity,
  patienceMs: 8_500,
  late: () => new UnavailableError("the queue's database has not taken an acknowledgement in time"),
};
/** A client id may have 65,535 bytes. */
const LONG = 64;

/** null: whoever acknowledges it, it is done (queue mode). */
type Reader = string | null;

interface Ack {
  readonly id: string;
  readonly reader: Reader;
}

/**
 * Acknowledgements that were accepted of late. Under load they wait in the queue for seconds, and a delivery that has begun does not wait
 * for them: what they name is in the store still and must not be sent any more. This process knows its own at once; those of others
 * on the same queue are asked for.
 */
export class AcceptedAcks {
  private young = new Set<string>();
  private old = new Set<string>();
  private count = 0;
  private readonly sharing: Batcher<string>;

  /** @param state null: no other process works on the queue. */
  constructor(
    private readonly state: Pick<SharedState, 'setAll' | 'getAll'> | null,
    private readonly most = MOST,
  ) {
    const flush = (keys: string[]) => this.share(keys, SHARED_MS);
    this.sharing = new Batcher({ ...BATCH, flush, budget: new Budget({ items: Infinity, bytes: Infinity }) });
  }

  /** Before the event is answered. */
  async note(id: string, reader: Reader): Promise<void> {
    const key = keyOf(id, reader);
    if (++this.count > this.most) [this.old, this.young, this.count] = [this.young, new Set(), 1];
    this.young.add(key);
    if (this.state !== null) await this.sharing.add([key], 0);
  }

  /** They were not accepted after all. Throws UnavailableError when the other processes can't be told soon: they forget them after an hour. */
  async forget(acks: readonly Ack[]): Promise<void> {
    const keys = acks.map(({ id, reader }) => keyOf(id, reader));
    for (const key of keys) for (const known of [this.young, this.old]) known.delete(key);
    await within(FORGET_WITHIN_MS, this.share(keys, FORGOTTEN_MS), BATCH.late);
  }

  /** The store shows their effect now. */
  async settled(acks: readonly Ack[]): Promise<void> {
    await this.share(
      acks.map(({ id, reader }) => keyOf(id, reader)),
      SETTLED_MS,
    );
  }

  /** Whether this process has it. */
  has(id: string, reader: Reader): boolean {
    const key = keyOf(id, reader);
    return this.young.has(key) || this.old.has(key);
  }

  /** @returns whether this process or another one has one of these. */
  async known(acks: readonly Ack[]): Promise<(id: string, reader: Reader) => boolean> {
    const keys = new Set(acks.map(({ id, reader }) => keyOf(id, reader)));
    const shared = await this.state?.getAll([...keys].map(sharedKey));
    // Its own last: acknowledgements go on arriving while the others are asked for.
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
