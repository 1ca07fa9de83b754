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
import { Gates } from './gates';
import { requestOutcomes } from './request-outcomes';
import { Rounds } from './rounds';
import { Seat } from './seat';
import { Sender } from './sender';

const PARALLEL = 16;
/** Another process works on the same mailboxes, which happens once when a lane changes hands. */
const MOST_TRIES = 5;

export interface Failure {
  readonly events: readonly MailEvent[];
  readonly error: unknown;
}

/**
 * One pass over the mailboxes that a batch of a client lane is about: load them, let each learn what happened, ask EMQX where one is in doubt, read and send what
 * they ask for, save them by compare-and-set, and have the queue wake those that wait for a time. Doing it again after a crash at any point has the effect of once.
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
        : new Rounds({ ...deps, retained }, new Sender({ ...deps, emqx: emqx satisfies EmqxApi }, this.claims, retained));
  }

  /** @param isRepeated part of it may be done. @returns what failed for one mailbox alone. Throws for trouble that is everybody's. */
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
    const loaded = await this.boxes.load(names);
    return [...byKey].flatMap(([key, own]) => {
      const found = loaded.get(key);
      if (found === undefined) return [];
      const seat = new Seat(key, own, found, this.book);
      const failure = own.find((event) => event.kind === 'change' && failed.has(event.change.clientid));
      if (failure?.kind === 'change') seat.error = failed.get(failure.change.clientid);
      return [seat];
    });
  }

  /** What happened, from the events. Mail for others is added to `mail`. */
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
    // A group's second wait may be over as soon as its first.
    await this.gates.look(
      well().filter(({ mailbox }) => isGroup(mailbox)),
      now(),
    );
    await this.rounds?.send(well());
  }

  /** What a mailbox does not count on any more must be free before it, or another one, wants to send it. */
  private async release(seat: Seat): Promise<void> {
    if (seat.freed.size === 0) return;
    await this.claims.giveUp(seat.key, [...seat.freed]);
    seat.freed.clear();
  }

  /**
   * First the queue is asked to wake those that wait, then the mailboxes say so: a crash between the two costs a wake for nothing, never one that is missing. Positions
   * come last, with the version of the mailbox: whoever could not save it does not write them (promise 21).
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
      await eachOf(unsaved, PARALLEL, (seat) =>
        guarded(seat, async () => {
          const found = loaded.get(seat.key);
          if (found !== undefined) await seat.restart(found);
        }),
      );
    }
  }

  /** For operators who asked for a delivery. What can't be noted now is noted by the next pass: it is not worth doing this one again. */
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

  /** One wake for each mailbox is in the queue: when it comes the mailbox says when it wants the next. */
  private async wake(seats: readonly Seat[], now: number): Promise<void> {
    const due: { to: string; at: number }[] = [];
    for (const seat of seats) {
      // What failed is done again by itself, events and all.
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

/** A client's subscriptions say who has read what it acknowledged before they changed: each part has no such change behind an acknowledgement. */
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
