import { RetryableError } from '../../base/errors';
import { groupBy, eachOf } from '../../base/parallel';
import type { MailEvent } from '../../lanes/jobs';
import { Outcomes } from '../../lanes/outcomes';
import type { EmqxApi } from '../../emqx/api';
import { Claims } from '../claims';
import { isGroup } from '../box/mailbox';
import { planOf } from '../box/plan';
import { Positions } from '../positions/positions';
import { RetainedIds } from '../retained/retained-ids';
import { Acks } from './acks';
import { Asker } from './asker';
import { Boxes } from './boxes';
import type { PassDeps } from './deps';
import { Drops } from './drops';
import { applyEvents, consumerIn, leavings } from './events';
import { Fresh } from './fresh';
import { Gates } from './gates';
import { requestOutcomes } from './request-outcomes';
import { Rounds } from './rounds';
import { Seat } from './seat';
import { Sender } from './sender';

const PARALLEL = 16;
/** Several tries are needed only while a lane changes hands and two processes work on the same mailboxes. */
const MOST_TRIES = 5;

export interface Failure {
  readonly events: readonly MailEvent[];
  readonly error: unknown;
}

/**
 * One pass over all mailboxes that a batch of a client lane concerns. The pass loads them, lets each learn what
 * happened, asks EMQX where one is in doubt, reads and sends what they ask for, saves them by compare-and-set, and has
 * the queue wake those that wait for a time. Repeating a pass after a crash at any point has the effect of one pass.
 */
export class MailPass {
  private readonly boxes: Boxes;
  private readonly book: Positions;
  private readonly outcomes: Outcomes;
  private readonly acks: Acks;
  private readonly drops: Drops;
  private readonly gates: Gates;
  private readonly claims: Claims;
  private readonly asker: Asker | null;
  private readonly rounds: Rounds | null;

  constructor(private readonly deps: PassDeps) {
    const { state, sequence, laneCounts, emqx } = deps;
    this.boxes = new Boxes(state);
    this.book = new Positions(deps);
    this.outcomes = new Outcomes(state);
    this.acks = new Acks(deps);
    this.drops = new Drops(deps);
    this.gates = new Gates(sequence, laneCounts);
    this.claims = new Claims(state);
    const retained = new RetainedIds(state);
    this.asker = emqx === null ? null : new Asker(emqx, deps.now);
    this.rounds =
      emqx === null
        ? null
        : new Rounds(
            { ...deps, retained },
            new Sender({ ...deps, emqx: emqx satisfies EmqxApi }, this.claims, retained),
            new Fresh(this.boxes, deps.now),
          );
  }

  /**
   * @param isRepeated true if part of the events may have been handled before.
   * @returns what failed for one mailbox alone.
   * @throws an error that concerns all mailboxes, for example when the store is away.
   */
  async handle(events: readonly MailEvent[], isRepeated: boolean): Promise<Failure[]> {
    const failures: Failure[] = [];
    for (const part of partsOf(events)) failures.push(...(await this.handlePart(part, isRepeated)));
    return failures;
  }

  private async handlePart(events: readonly MailEvent[], isRepeated: boolean): Promise<Failure[]> {
    const changes = events.flatMap((event) => (event.kind === 'change' ? [event.change] : []));
    const failed = await this.deps.clients.apply(changes);
    const mail = changes.flatMap((change) => leavings(this.deps.policies, change));
    const seats = await this.seatsOf(events, failed);
    const settled = await this.learn(seats, mail, isRepeated);
    if (mail.length > 0) await this.deps.lanes.mail(mail);
    if (this.deps.emqx !== null) await this.deliver(seats);
    await this.save(seats);
    await this.noteRequests(seats);
    const done = new Set(seats.filter(({ error }) => error === null));
    await this.deps.acks.settled(settled.flatMap(({ seat, acks }) => (done.has(seat) ? acks : [])));
    return seats.flatMap(({ events: own, error }) => (error === null ? [] : [{ events: own, error }]));
  }

  private async seatsOf(events: readonly MailEvent[], failed: ReadonlyMap<string, unknown>): Promise<Seat[]> {
    const byKey = groupBy(events, ({ to }) => to);
    const names = new Map(
      [...byKey].map(([key, own]) => [key, own.reduce<string | null>((name, event) => name ?? consumerIn(event), null)]),
    );
    const loadedAt = this.deps.now();
    const loaded = await this.boxes.load(names);
    return [...byKey].flatMap(([key, own]) => {
      const found = loaded.get(key);
      if (found === undefined) return [];
      const seat = new Seat(key, own, found, this.book);
      seat.freshAt = loadedAt;
      const failure = own.find((event) => event.kind === 'change' && failed.has(event.change.clientid));
      if (failure?.kind === 'change') seat.error = failed.get(failure.change.clientid);
      return [seat];
    });
  }

  /** Lets each mailbox learn what happened, from its events. Mail for other mailboxes is added to `mail`. */
  private async learn(
    seats: readonly Seat[],
    mail: MailEvent[],
    isRepeated: boolean,
  ): Promise<{ seat: Seat; acks: { id: string; reader: string }[] }[]> {
    const { policies, emqx, lag, now } = this.deps;
    const settled: { seat: Seat; acks: { id: string; reader: string }[] }[] = [];
    await eachOf(seats, PARALLEL, (seat) =>
      guarded(seat, async () => {
        await applyEvents(seat, policies, emqx, now());
        const acked = seat.events.filter((event) => event.kind === 'acked');
        const { mail: forGroups, settled: acks } = await this.acks.apply(seat, acked, isRepeated);
        mail.push(...forGroups, ...(await this.drops.apply(seat)));
        if (isRepeated) seat.learn({ kind: 'repeated' }, now());
        seat.learn({ kind: 'due', lagMs: lag?.current(now()) ?? 0 }, now());
        settled.push({ seat, acks });
      }),
    );
    return settled;
  }

  private async deliver(seats: readonly Seat[]): Promise<void> {
    const { now } = this.deps;
    const well = () => seats.filter(({ error }) => error === null);
    const asking = well().filter((seat) => seat.plan(now()).asks);
    if (this.asker !== null && asking.length > 0) await this.asker.ask(asking);
    for (const seat of well()) await this.release(seat);
    await this.gates.look(well(), now());
    // A group waits twice (see Run.gathers). The second wait may be over as soon as the first is.
    await this.gates.look(
      well().filter(({ mailbox }) => isGroup(mailbox)),
      now(),
    );
    await this.rounds?.send(well());
  }

  /** Claims on messages that a mailbox gave up must be released before any mailbox wants to send these messages. */
  private async release(seat: Seat): Promise<void> {
    if (seat.freed.size === 0) return;
    await this.claims.giveUp(seat.key, [...seat.freed]);
    seat.freed.clear();
  }

  /**
   * The order of the writes is fixed. First the queue is asked for the wakes, then the mailboxes note them: a crash
   * between the two costs a superfluous wake, but no wake is missing. The positions come last, with the version of the
   * saved mailbox, so that a process that could not save the mailbox does not write them (promise 21).
   */
  private async save(seats: readonly Seat[]): Promise<void> {
    const { now } = this.deps;
    let unsaved = seats.filter((seat) => seat.isChanged);
    for (let tries = 0; unsaved.length > 0; tries++) {
      if (tries === MOST_TRIES) throw new RetryableError(`other processes are working on the mailboxes of ${unsaved.length} consumers`);
      if (this.deps.emqx !== null) await this.wake(unsaved, now());
      const boxes = unsaved.map((seat) => ({ key: seat.key, mailbox: seat.mailbox, before: seat.before, version: seat.version }));
      const refused = await this.boxes.save(boxes);
      await eachOf(
        unsaved.filter(({ key }) => !refused.has(key)),
        PARALLEL,
        (seat) => guarded(seat, () => seat.positions.save(seat.version)),
      );
      for (const seat of unsaved) if (!refused.has(seat.key)) await this.release(seat);
      unsaved = unsaved.filter(({ key }) => refused.has(key));
      const loaded = await this.boxes.load(new Map(unsaved.map(({ key, consumer }) => [key, consumer])));
      // A seat with an error may have published something, too, which must be noted.
      await eachOf(unsaved, PARALLEL, async (seat) => {
        const found = loaded.get(seat.key);
        if (found !== undefined) await seat.restart(found).catch((error: unknown) => void (seat.error ??= error));
      });
    }
  }

  /**
   * Tells operators what became of the deliveries that they asked for. The next pass notes what can't be noted now:
   * repeating this pass would cost more.
   */
  private async noteRequests(seats: readonly Seat[]): Promise<void> {
    const outcomes = new Map(
      seats.flatMap((seat) => [...requestOutcomes({ ...resultOf(seat), before: seat.loaded, after: seat.mailbox })]),
    );
    try {
      await this.outcomes.noteDeliveries(outcomes);
    } catch (error) {
      if (!(error instanceof RetryableError)) throw error;
    }
  }

  /** Asks the queue for one wake per mailbox. When it comes, the mailbox asks for the next. */
  private async wake(seats: readonly Seat[], now: number): Promise<void> {
    const due: { to: string; at: number }[] = [];
    for (const seat of seats) {
      // A seat with an error needs no wake, because its events are repeated.
      const wanted = seat.error === null ? planOf(seat.mailbox, now).wakeAt : null;
      const { wakeAt } = seat.mailbox;
      if (wanted === null || (wakeAt !== null && wakeAt <= wanted && wakeAt > now)) continue;
      due.push({ to: seat.key, at: Math.max(wanted, now) });
      seat.wakesAt(Math.max(wanted, now), now);
    }
    if (due.length > 0) await this.deps.lanes.wake(due, now);
  }
}

function resultOf({ events, sentFor, unheard, error }: Seat) {
  return { events, sentFor, unheard, error };
}

async function guarded(seat: Seat, work: () => Promise<void>): Promise<void> {
  if (seat.error !== null) return;
  try {
    await work();
  } catch (error) {
    seat.error = error;
  }
}

/**
 * Splits the events so that no part has a change of subscriptions after an acknowledgement of the same client. The
 * subscriptions from before the change decide who has read the acknowledged message.
 */
function partsOf(events: readonly MailEvent[]): MailEvent[][] {
  const parts: MailEvent[][] = [[]];
  const acknowledged = new Set<string>();
  for (const event of events) {
    if (
      event.kind === 'change' &&
      (event.change.kind === 'subscribed' || event.change.kind === 'unsubscribed') &&
      acknowledged.has(event.to)
    ) {
      parts.push([]);
      acknowledged.clear();
    }
    if (event.kind === 'acked') acknowledged.add(event.to);
    parts.at(-1)?.push(event);
  }
  return parts;
}
