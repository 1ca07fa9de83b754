import type { MailEvent } from '../../lanes/jobs';
import type { MessageRef } from '../../mqtt/message';
import { isRun, type Fact, type Sent } from '../box/fact';
import type { Mailbox } from '../box/mailbox';
import { planOf, type Plan } from '../box/plan';
import { step } from '../box/step';
import type { ConsumerPositions, Positions, ReadRef } from '../positions/positions';
import type { Loaded } from './boxes';

/** A change of the consumer's positions in this pass. It is repeated if another process has saved the mailbox first. */
type PositionWork = (positions: ConsumerPositions) => Promise<void>;

/**
 * One consumer in a pass: its mailbox, and what it learns during the pass. An error concerns this consumer only
 * (promise 20).
 */
export class Seat {
  /** Why the rest of the pass leaves this seat out; null: no error. */
  error: unknown = null;
  /** When the mailbox was known to be as it was loaded (ms, the server's clock). */
  freshAt = Infinity;
  /** Ids of messages that the mailbox gave up: any consumer may be sent them. */
  readonly freed = new Set<string>();
  /** How many messages were sent in this pass, by the operators' requests that they were sent for. */
  readonly sentFor = new Map<string, number>();
  /** Requests that ended because EMQX had no subscriber for what was sent. */
  readonly unheard = new Set<string>();
  positions: ConsumerPositions;
  private facts: { readonly fact: Fact; readonly at: number }[] = [];
  private work: PositionWork[] = [];
  private start: Loaded;
  private current: Mailbox;

  constructor(
    readonly key: string,
    readonly events: readonly MailEvent[],
    loaded: Loaded,
    private readonly book: Pick<Positions, 'open'>,
  ) {
    this.start = loaded;
    this.current = loaded.mailbox;
    this.positions = book.open(loaded.mailbox.consumer);
  }

  get mailbox(): Mailbox {
    return this.current;
  }

  /** As it was loaded. */
  get loaded(): Mailbox {
    return this.start.mailbox;
  }

  get consumer(): string {
    return this.current.consumer;
  }

  get before(): number {
    return this.start.version;
  }

  /**
   * Greater than the version of the record and of all positions that were read, so that a later pass never writes a
   * smaller one.
   */
  get version(): number {
    return Math.max(this.start.version, this.positions.version) + 1;
  }

  get isChanged(): boolean {
    return this.current !== this.start.mailbox || this.positions.isChanged;
  }

  learn(fact: Fact, now: number): void {
    if (fact.kind === 'sent') this.count(fact);
    this.facts.push({ fact, at: now });
    this.apply(fact, now);
  }

  private count(sent: Sent): void {
    for (const id of this.current.runs.find((run) => isRun(run, sent))?.requests ?? []) {
      this.sentFor.set(id, (this.sentFor.get(id) ?? 0) + sent.copies.length + sent.unclocked);
      if (sent.isOver) this.unheard.add(id);
    }
  }

  private apply(fact: Fact, now: number): void {
    const { mailbox, freed } = step(this.current, fact, now);
    this.current = mailbox;
    for (const id of freed) this.freed.add(id);
  }

  plan(now: number): Plan {
    return planOf(this.current, now);
  }

  /** Notes that the queue will wake the mailbox at `at`. A later wake that was requested before still comes. */
  wakesAt(at: number, now: number): void {
    const { wakeAt, thenAt } = this.current;
    const later = wakeAt !== null && wakeAt > now ? wakeAt : thenAt;
    this.current = { ...this.current, wakeAt: at, thenAt: later };
  }

  async read(refs: readonly ReadRef[]): Promise<void> {
    if (refs.length > 0) await this.keep((positions) => positions.read(refs));
  }

  late(refs: readonly MessageRef[]): Promise<void> {
    return this.keep((positions) => positions.late(refs));
  }

  subscribed(filter: string, at: number): Promise<void> {
    return this.keep((positions) => positions.subscribed(filter, at));
  }

  private async keep(work: PositionWork): Promise<void> {
    this.work.push(work);
    await work(this.positions);
  }

  /**
   * Another process has saved the mailbox meanwhile. Everything that the seat has learnt is applied to the mailbox that
   * was loaded now.
   */
  async restart(loaded: Loaded): Promise<void> {
    this.start = loaded;
    this.current = loaded.mailbox;
    this.positions = this.book.open(this.consumer);
    for (const work of this.work) await work(this.positions);
    for (const { fact, at } of this.facts) this.apply(fact, at);
  }
}
