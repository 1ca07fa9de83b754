import { eachOf } from '../../base/parallel';
import type { Message } from '../../mqtt/message';
import { policyFor } from '../../policies/policy';
import type { Store } from '../../stores/store';
import type { Policy } from '../../config/policies';
import { START, type Again, type Run } from '../box/mailbox';
import { taken } from '../box/plan';
import { GRACE_MS } from '../times';
import { PageSize, RunReader, type Reading, type ReaderDeps } from './reader';
import type { Seat } from './seat';
import { isAcked, type Delivered, type Parcel } from './parcel';
import type { Sender } from './sender';

/** How many runs are read in parallel; a page has at most about a megabyte. */
const PARALLEL = 64;
/** The messages read so far are published when they reach one of these limits. */
const FLUSH_MESSAGES = 500;
const FLUSH_BYTES = 8 * 1024 * 1024;
/** A pass sends for at most this long (ms). What is left is sent in the next pass, after the events that have arrived meanwhile. */
const PASS_MS = 1_000;
/**
 * Messages whose acknowledgement nobody waits for (QoS 0, or policy `settle: delivered`): at most this many, or this many bytes, go out at
 * once. The next ones follow after a pause. That gives about 1,000 messages a second, far less than fills EMQX's session queue.
 */
const UNCLOCKED = 100;
const UNCLOCKED_BYTES = 1024 * 1024;
export const PAUSE_MS = 100;

export interface RoundsDeps extends ReaderDeps {
  readonly store: Pick<Store, 'listTopics' | 'listMessages' | 'listRefs' | 'getMessage'>;
  readonly now: () => number;
}

/** What a seat has done in this pass. */
interface Work {
  reader: { readonly run: string; readonly reader: RunReader } | null;
  /** Messages and bytes that were sent without waiting for an acknowledgement. */
  messages: number;
  bytes: number;
  /** True if a run has read enough for this pass. */
  isTired: boolean;
}

/** A parcel, and where its run continues. */
interface Read {
  readonly parcel: Parcel;
  readonly cursor: Run['cursor'];
}

/** Reads and sends what the mailboxes of a pass ask for, in rounds, until they ask for nothing or the time is up. */
export class Rounds {
  private readonly size = new PageSize();

  constructor(
    private readonly deps: RoundsDeps,
    private readonly sender: Pick<Sender, 'send'>,
  ) {}

  async send(seats: readonly Seat[]): Promise<void> {
    const { now } = this.deps;
    const works = new Map<Seat, Work>(seats.map((seat) => [seat, { reader: null, messages: 0, bytes: 0, isTired: false }]));
    const end = performance.now() + PASS_MS;
    for (;;) {
      const wanting = seats.filter((seat) => seat.error === null && works.get(seat)?.isTired === false && wants(seat, now()));
      if (wanting.length === 0) return;
      let read: Read[] = [];
      for (let i = 0; i < wanting.length; i += PARALLEL) {
        await eachOf(wanting.slice(i, i + PARALLEL), PARALLEL, async (seat) => {
          try {
            const found = await this.readFor(seat, works.get(seat) as Work);
            if (found !== null) read.push(found);
          } catch (error) {
            seat.error = error;
          }
        });
        if (sizeOf(read) < 1) continue;
        await this.flush(read, works);
        read = [];
        if (performance.now() >= end) return;
      }
      await this.flush(read, works);
      if (performance.now() >= end) return;
    }
  }

  /** @returns what to send; null if nothing, which the mailbox has then learnt. */
  private async readFor(seat: Seat, work: Work): Promise<Read | null> {
    const plan = seat.plan(this.deps.now());
    if (plan.again > 0) {
      await this.resend(seat, plan.again);
      return null;
    }
    const { run } = plan;
    if (run === null) return null;
    const name = JSON.stringify([run.clientid, run.filter, run.requestedAt, run.looks]);
    if (work.reader?.run !== name) work.reader = { run: name, reader: new RunReader(this.deps, this.size, seat, run) };
    const roomOf = (policy: Policy): number => Math.min(policy.window - taken(seat.mailbox), roomAtQos0(work, policy));
    const reading = await work.reader.reader.next(run.cursor ?? START, run.sent, roomOf, this.deps.now());
    if (!('stop' in reading)) return paced({ seat, run, ...reading }, reading.cursor, work);
    this.stop(seat, work, run, reading);
    return null;
  }

  private stop(seat: Seat, work: Work, run: Run, reading: Extract<Reading, { stop: string }>): void {
    const now = this.deps.now();
    if (reading.stop === 'tired') work.isTired = true;
    const policy = reading.stop === 'full' ? policyFor(this.deps.policies, reading.cursor.topic) : null;
    const isPaced = policy !== null && roomAtQos0(work, policy) <= 0;
    seat.learn(
      {
        ...{
          kind: 'sent',
          clientid: run.clientid,
          filter: run.filter,
          copies: [],
          unclocked: 0,
          isBlocked: false,
          isOver: false,
          hasInbox: run.hasInbox,
        },
        ...{
          cursor: reading.stop === 'end' ? null : reading.cursor,
          window: policy?.window ?? null,
          pauseUntil: isPaced ? now + PAUSE_MS : null,
        },
      },
      now,
    );
  }

  private async flush(read: readonly Read[], works: ReadonlyMap<Seat, Work>): Promise<void> {
    if (read.length === 0) return;
    const results = await this.sender.send(read.map(({ parcel }) => parcel));
    for (const { parcel, cursor } of read) {
      const result = results.get(parcel);
      if (result !== undefined) this.note(parcel, cursor, result, works.get(parcel.seat) as Work);
    }
  }

  private note({ seat, run, policy }: Parcel, cursor: Run['cursor'], result: Delivered, work: Work): void {
    const now = this.deps.now();
    work.messages += result.unclocked.length;
    work.bytes += result.unclocked.reduce((sum, { payload }) => sum + payload.length, 0);
    const pauseUntil = result.isStopped ? now + GRACE_MS : roomAtQos0(work, policy) <= 0 ? now + PAUSE_MS : null;
    // If some messages were not sent after all, the run must read the page again.
    const isUnsure = result.isStopped || seat.error !== null;
    seat.learn(
      {
        ...{
          kind: 'sent',
          clientid: run.clientid,
          filter: run.filter,
          cursor: isUnsure ? run.cursor : cursor,
          window: policy.window,
          pauseUntil,
        },
        ...{
          copies: result.copies,
          unclocked: result.unclocked.length,
          isBlocked: result.isBlocked,
          isOver: result.isOver,
          hasInbox: result.hasInbox,
        },
      },
      now,
    );
  }

  /**
   * Sends messages again that EMQX dropped or lost, one after the other in their order. Neither the time of the subscription nor
   * fetch.limit matters for them.
   */
  private async resend(seat: Seat, count: number): Promise<void> {
    const { now, store, policies } = this.deps;
    const parcels: Parcel[] = [];
    const done: string[] = [];
    for (const ref of seat.mailbox.again.slice(0, count)) {
      const policy = policyFor(policies, ref.topic);
      if (policy !== null && taken(seat.mailbox) + parcels.length >= policy.window) break;
      const readAt = now();
      const message = policy === null ? null : await store.getMessage(ref.id);
      // Another client acknowledged the message, or it was trimmed, or it expired meanwhile (promise 12).
      if (policy === null || message === null || (message.expiresAt ?? Infinity) <= now()) done.push(ref.id);
      else parcels.push({ seat, run: runOf(ref), policy, messages: [message], readAt });
    }
    const results = parcels.length === 0 ? new Map<Parcel, Delivered>() : await this.sender.send(parcels);
    const all = [...results.values()];
    const sentIds = new Set(all.flatMap(({ copies }) => copies.map(([id]) => id)));
    const passed = parcels
      .filter((parcel) => results.get(parcel)?.isStopped === false)
      .flatMap(({ messages }) => messages.map(({ id }) => id));
    const isOver = all.some((result) => result.isOver);
    const gone = isOver ? seat.mailbox.again.map(({ id }) => id) : passed.filter((id) => !sentIds.has(id));
    const copies = all.flatMap((result) => result.copies);
    seat.learn({ kind: 'resent', copies, done: [...done, ...gone], stopped: all.some(({ isStopped }) => isStopped) }, now());
  }
}

function wants(seat: Seat, now: number): boolean {
  const { again, run } = seat.plan(now);
  return again > 0 || run !== null;
}

function roomAtQos0({ messages, bytes }: Work, { window }: Policy): number {
  return bytes >= UNCLOCKED_BYTES ? 0 : Math.min(window, UNCLOCKED) - messages;
}

/** Cuts the parcel off where the messages that nobody acknowledges become too many bytes for one time. */
function paced(parcel: Parcel, cursor: Run['cursor'], work: Work): Read {
  let { bytes } = work;
  const count = parcel.messages.findIndex((message) => {
    const isFull = bytes >= UNCLOCKED_BYTES && !isAcked(message, parcel);
    if (!isAcked(message, parcel)) bytes += message.payload.length;
    return isFull;
  });
  const last = parcel.messages[count - 1];
  if (count < 1 || last === undefined) return { parcel, cursor };
  return { parcel: { ...parcel, messages: parcel.messages.slice(0, count) }, cursor: { topic: last.topic, id: last.id } };
}

/** How full a request to EMQX is: 1 is enough to publish. */
function sizeOf(read: readonly Read[]): number {
  const messages: Message[] = read.flatMap(({ parcel }) => parcel.messages);
  const bytes = messages.reduce((sum, { payload }) => sum + payload.length, 0);
  return Math.max(messages.length / FLUSH_MESSAGES, bytes / FLUSH_BYTES);
}

/** A run like the one that sent the message before. */
function runOf({ clientid, filter, qos }: Again): Run {
  return {
    ...{ clientid, filter, qos, at: 0, requestedAt: 0, cursor: START, behind: null, gathers: 0, sent: 0, window: 1 },
    ...{ leavesRetained: false, lookAt: null, looks: 0, isBlocked: false, hasInbox: true },
  };
}
