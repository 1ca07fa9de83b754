import { eachOf } from '../../base/parallel';
import type { Message } from '../../mqtt/message';
import { policyFor } from '../../policies/policy';
import type { Policy } from '../../config/policies';
import { runThen } from '../box/fact';
import { START, type Run } from '../box/mailbox';
import { taken } from '../box/plan';
import { GRACE_MS } from '../times';
import type { Fresh } from './fresh';
import { PageSize, RunReader, type Reading, type ReaderDeps } from './reader';
import { Resender, type ResenderDeps } from './resender';
import type { Seat } from './seat';
import { isAcked, type Delivered, type Parcel } from './parcel';
import type { Sender } from './sender';

/**
 * How many runs are read in parallel. A page has about a megabyte if its messages are as large as those before them.
 * Nobody knows that of the first pages of a pass, so these are few: 64 clients may come back, each with 100 messages of
 * a megabyte.
 */
const [FIRST_PARALLEL, MOST_PARALLEL] = [4, 64];
/** The messages read so far are published when they reach one of these limits. */
const FLUSH_MESSAGES = 500;
const FLUSH_BYTES = 8 * 1024 * 1024;
/**
 * A pass sends for at most this long (ms). What is left is sent in the next pass, after the events that have arrived
 * meanwhile.
 */
const PASS_MS = 1_000;
/**
 * Messages whose acknowledgement nobody waits for (QoS 0, or policy `settle: delivered`): at most this many, or this
 * many bytes, go out at once. The next ones follow after a pause. That gives about 1,000 messages a second, far less
 * than fills EMQX's session queue.
 */
const UNCLOCKED = 100;
const UNCLOCKED_BYTES = 1024 * 1024;
export const PAUSE_MS = 100;

export interface RoundsDeps extends ReaderDeps, ResenderDeps {
  readonly store: ReaderDeps['store'] & ResenderDeps['store'];
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
  private readonly resender: Resender;

  constructor(
    private readonly deps: RoundsDeps,
    private readonly sender: Pick<Sender, 'send'>,
    private readonly fresh: Pick<Fresh, 'check'>,
  ) {
    this.resender = new Resender(deps, sender);
  }

  async send(seats: readonly Seat[]): Promise<void> {
    const { now } = this.deps;
    const works = new Map<Seat, Work>(seats.map((seat) => [seat, { reader: null, messages: 0, bytes: 0, isTired: false }]));
    const end = performance.now() + PASS_MS;
    let parallel = FIRST_PARALLEL;
    for (;;) {
      const isWanting = (seat: Seat): boolean => seat.error === null && works.get(seat)?.isTired === false && wants(seat, now());
      await this.fresh.check(seats.filter(isWanting));
      const wanting = seats.filter(isWanting);
      if (wanting.length === 0) return;
      let read: Read[] = [];
      for (let i = 0; i < wanting.length;) {
        const some = wanting.slice(i, i + parallel);
        i += some.length;
        parallel = Math.min(2 * parallel, MOST_PARALLEL);
        await eachOf(some, some.length, async (seat) => {
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
      await this.resender.send(seat, plan.again);
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
        ...{ ...runThen(run), kind: 'sent', from: run.cursor, copies: [], unclocked: 0 },
        ...{ isBlocked: false, isOver: false, hasInbox: run.hasInbox },
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

  private note({ seat, run, policy, messages, isLate }: Parcel, cursor: Run['cursor'], result: Delivered, work: Work): void {
    const now = this.deps.now();
    work.messages += result.unclocked.length;
    work.bytes += result.unclocked.reduce((sum, { payload }) => sum + payload.length, 0);
    const pauseUntil = result.isStopped ? now + GRACE_MS : roomAtQos0(work, policy) <= 0 ? now + PAUSE_MS : null;
    // If some messages were not sent after all, the run must read the page again.
    const isUnsure = result.isStopped || seat.error !== null;
    seat.learn(
      {
        ...{
          ...runThen(run),
          kind: 'sent',
          from: run.cursor,
          cursor: isUnsure ? run.cursor : cursor,
          window: policy.window,
          pauseUntil,
        },
        ...{
          copies: result.copies,
          ...(isLate === true && !isUnsure && { late: messages.map(({ id }) => id) }),
          unclocked: result.unclocked.length,
          isBlocked: result.isBlocked,
          isOver: result.isOver,
          hasInbox: result.hasInbox,
        },
      },
      now,
    );
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
  const end = parcel.isLate === true ? cursor : { ...cursor, topic: last.topic, id: last.id };
  return { parcel: { ...parcel, messages: parcel.messages.slice(0, count) }, cursor: end };
}

/** How full a request to EMQX is: 1 is enough to publish. */
function sizeOf(read: readonly Read[]): number {
  const messages: Message[] = read.flatMap(({ parcel }) => parcel.messages);
  const bytes = messages.reduce((sum, { payload }) => sum + payload.length, 0);
  return Math.max(messages.length / FLUSH_MESSAGES, bytes / FLUSH_BYTES);
}
