import type { Fact } from '../../../src/mailbox/box/fact';
import { decode, encode } from '../../../src/mailbox/box/encode';
import type { Mailbox } from '../../../src/mailbox/box/mailbox';
import { planOf } from '../../../src/mailbox/box/plan';
import { GRACE_MS, STORM_MS } from '../../../src/mailbox/times';
import { matches } from '../../../src/mqtt/topic';
import { Broker, type Told } from './broker';
import { idAt, NOW } from './build';
import { Pass, type Effect } from './process';
import { traced } from './trace';

export interface Stored {
  readonly id: string;
  readonly topic: string;
  readonly at: number;
}

export interface Options {
  readonly window: number;
  readonly lists: boolean;
  readonly tellsConnections: boolean;
  readonly isOrdered: boolean;
}

/** An acknowledgement's event reaches the mailbox within 60 ms (facts); here within this. */
export const EVENT_MS = 500;

/** One client, EMQX, the store, the queue, and the processes that serve the client's mailbox. Checks each publish. */
export class World {
  now = NOW;
  readonly window: number;
  readonly broker: Broker;
  /** The unacknowledged messages, by topic and id. */
  messages: Stored[] = [];
  record: { text: string | null; version: number } = { text: null, version: 0 };
  wakes: number[] = [];
  questions = 0;
  passes = 0;
  /** By id: why the message must reach the client without another subscription. */
  readonly owed = new Set<string>();
  /** The faults that were found. */
  readonly faults: string[] = [];
  /** Answers of EMQX's publish are lost. */
  losesAnswers = false;
  /** The connector keeps the order of a client's events (`pool_type: hash`). */
  private readonly isOrdered: boolean;
  /** Rules tell of connections. */
  tellsConnections = true;
  /** EMQX's events that have not arrived, in their order. */
  private wire: { readonly told: Told; readonly at: number }[] = [];
  /** In the client's lane. */
  private lane: Fact[] = [];
  private isRepeated = false;
  private readonly acknowledged = new Map<string, number>();
  private readonly claims = new Map<string, { readonly version: number; readonly until: number }>();
  /** Published by a process that died, or stood still, before it saved: it may come once more. */
  private readonly orphans = new Map<string, number>();
  private standing: { readonly pass: Pass; readonly work: Generator<Effect> } | null = null;
  private serial = 0;
  private hasStood = false;
  /** By filter: when a storm of subscriptions began, when their session did, and the times of all of them. */
  private readonly begun = new Map<string, { readonly since: number; readonly createdAt: number; readonly times: readonly number[] }>();
  /** What the client was sent in its session, and the newest of each topic. */
  private sent = { createdAt: 0, ids: new Set<string>(), newest: new Map<string, string>() };
  /** By id: when EMQX or the mailbox gave it up for good. */
  private readonly givenUp = new Map<string, number>();

  constructor({ window, lists, tellsConnections, isOrdered }: Options) {
    this.isOrdered = isOrdered;
    this.window = window;
    this.tellsConnections = tellsConnections;
    this.broker = new Broker(
      () => this.now,
      (told) => this.tell(told),
    );
    this.broker.lists = lists;
  }

  get mailbox(): Mailbox | null {
    return this.record.text === null ? null : decode(this.record.text);
  }

  get isQuiet(): boolean {
    return this.wire.length === 0 && this.lane.length === 0 && this.wakes.length === 0 && this.standing === null;
  }

  private tell(told: Told): void {
    if (!this.tellsConnections && (told.what === 'connected' || told.what === 'disconnected')) return;
    this.wire.push({ told, at: this.now });
  }

  publishes(topic: string, count: number): void {
    for (let i = 0; i < count; i++) {
      this.now++;
      const id = idAt(this.now);
      this.messages = [...this.messages, { id, topic, at: this.now }].sort((a, b) =>
        a.topic === b.topic ? (a.id < b.id ? -1 : 1) : a.topic < b.topic ? -1 : 1,
      );
      this.broker.live(id, topic);
    }
  }

  subscribe(filter: string): void {
    if (!this.broker.isConnected) return;
    this.now++;
    this.broker.subscribe(filter);
    const createdAt = this.broker.session?.createdAt ?? 0;
    const known = this.begun.get(filter);
    const before = known?.createdAt === createdAt ? known : { since: -Infinity, times: this.isOrdered ? [] : (known?.times ?? []) };
    const isStorm = this.now < before.since + STORM_MS;
    this.begun.set(filter, { since: isStorm ? before.since : this.now, createdAt, times: [...before.times, this.now] });
    if (isStorm) return;
    // What was published between the requests of a storm EMQX delivers. If a connection began between two requests, the
    // later one may begin a storm of its own for the mailbox. If events come in any order, two sessions within a second
    // can't be told apart (SAME_MOMENT_MS).
    const first = before.times.find((at) => this.now < at + STORM_MS) ?? this.now;
    const isGivenUp = (id: string): boolean => (this.givenUp.get(id) ?? -Infinity) >= first;
    for (const { id, topic, at } of this.messages) if (matches(filter, topic) && at <= first && !isGivenUp(id)) this.owed.add(id);
  }

  /** Nobody need send it without another subscription. */
  private giveUp(id: string): void {
    this.owed.delete(id);
    this.givenUp.set(id, this.now);
  }

  subscribeAgain(): void {
    for (const filter of this.broker.session?.filters ?? []) this.subscribe(filter);
  }

  unsubscribe(filter: string): void {
    if (!this.broker.isConnected) return;
    this.now++;
    this.broker.unsubscribe(filter);
    this.begun.delete(filter);
    for (const { id, topic } of this.messages) if (matches(filter, topic)) this.owed.delete(id);
  }

  connect(clean: boolean, expiryMs: number): void {
    this.now++;
    if (clean || this.broker.session === null || (this.broker.isConnected && this.broker.session.expiryMs === 0)) this.owed.clear();
    this.broker.connect(clean, expiryMs);
  }

  disconnect(): void {
    this.now++;
    if (this.broker.session?.expiryMs === 0) this.owed.clear();
    this.broker.disconnect();
  }

  acknowledge(index: number): void {
    const taken = this.broker.ack(index);
    if (taken === null) return;
    this.now++;
    this.owed.delete(taken.id);
    this.acknowledged.set(taken.id, this.now);
  }

  drop(index: number, reason: string, isTold: boolean): void {
    const taken = this.broker.drop(index, reason, isTold);
    // What EMQX loses of its own behind our back is not ours to find; nor is what can't be delivered.
    if (taken !== null && (!taken.isOurs || reason !== 'queue_full')) this.giveUp(taken.id);
  }

  /** Events arrive; `pick` chooses which comes next. A `repeat` arrives a second time. */
  arrive(count: number, pick: number, repeat: boolean): void {
    for (let i = 0; i < count && this.wire.length > 0; i++) {
      const at = this.isOrdered ? this.nextInOrder(pick) : Math.min(pick % 4, this.wire.length - 1);
      const told = this.wire.splice(at, 1)[0]?.told as Told;
      for (let times = repeat ? 2 : 1; times > 0; times--) this.receive(told);
    }
  }

  /** Connections and subscriptions in the order of their client; acknowledgements and drops at any time. */
  private nextInOrder(pick: number): number {
    const at = Math.min(pick % 4, this.wire.length - 1);
    const what = this.wire[at]?.told.what;
    return what === 'acked' || what === 'dropped'
      ? at
      : this.wire.findIndex(({ told }) => told.what !== 'acked' && told.what !== 'dropped');
  }

  private receive(told: Told): void {
    if (told.what === 'acked') this.messages = this.messages.filter(({ id }) => id !== told.id);
    this.lane.push(factOf(told));
  }

  /** Time passes; no event is on its way for longer than EVENT_MS. */
  pass(ms: number): void {
    const end = this.now + ms;
    while (this.wire[0] !== undefined && this.wire[0].at + EVENT_MS <= end) this.arrive(1, 0, false);
    this.now = end;
  }

  /** A pass over what is in the lane. `left`: how many effects it has before it stops; `then`: what becomes of it. */
  work(left = Infinity, then: 'dies' | 'stands' = 'dies'): void {
    this.now++;
    const due = this.wakes.filter((at) => at <= this.now);
    if (this.lane.length === 0 && due.length === 0 && !this.isRepeated) return;
    const pass = new Pass(this, [...this.lane], this.isRepeated, ++this.serial);
    this.passes++;
    const work = pass.work();
    for (let effects = 0; ; effects++) {
      const { done } = work.next();
      if (done === true) break;
      if (effects < left) continue;
      this.isRepeated = true;
      // Its successor knows as little of a process that stands still as of one that died.
      for (const id of pass.published) this.orphans.set(id, this.now);
      if (then === 'stands' && this.standing === null) this.stands({ pass, work });
      return;
    }
    this.lane = [];
    this.isRepeated = false;
    this.wakes = this.wakes.filter((at) => !due.includes(at));
    this.checkRecord();
  }

  private stands(standing: { readonly pass: Pass; readonly work: Generator<Effect> }): void {
    this.standing = standing;
    this.hasStood = true;
  }

  /** The process that stood still goes on, and sees that another one was quicker. */
  goOn(): void {
    const { standing } = this;
    this.standing = null;
    if (standing === null) return;
    for (; standing.work.next().done !== true;);
  }

  private checkRecord(): void {
    const { mailbox } = this;
    if (mailbox === null) return;
    const { wakeAt, asks } = planOf(mailbox, this.now);
    if (wakeAt !== null && wakeAt <= this.now) this.faults.push(`after a pass it asks for another one at once: ${this.record.text}`);
    if (asks) this.faults.push('after a pass it asks EMQX at once');
    // A process that stood still may have published as much as its successor.
    if (mailbox.out.size > this.window * (this.hasStood ? 2 : 1))
      this.faults.push(`${mailbox.out.size} are out, with a window of ${this.window}`);
    if (encode(mailbox) !== this.record.text) this.faults.push('what is stored is not what is read');
  }

  /** The model's eye on each fact. */
  watch(before: Mailbox, fact: Fact, after: Mailbox): void {
    traced(this.now, fact, after);
    const isGivenUp =
      (fact.kind === 'dropped' || fact.kind === 'resent') && before.rounds >= 5 && after.rounds === 0 && after.runs.length === 0;
    if (isGivenUp) for (const id of this.owed) this.giveUp(id);
  }

  /** @param version of the record that the pass will save. */
  claim(id: string, version: number): 'granted' | 'own' {
    const held = this.claims.get(id);
    if (held !== undefined && held.until > this.now) return 'own';
    this.claims.set(id, { version, until: this.now + GRACE_MS });
    return 'granted';
  }

  /** Only what was claimed by passes whose record is known. */
  release(id: string, version: number): void {
    if ((this.claims.get(id)?.version ?? Infinity) <= version) this.claims.delete(id);
  }

  isAcknowledged(id: string): boolean {
    return !this.messages.some((message) => message.id === id);
  }

  /** @returns EMQX's id; null: the answer was lost. */
  publish(id: string, topic: string, _pass: number): string | null | 'nobody' {
    const isSure = this.isOrdered && this.broker.lists && !this.losesAnswers && this.broker.isConnected;
    const orphanedAt = this.orphans.get(id);
    const copies = this.broker.copies.filter((copy) => copy.id === id);
    const isExcused = orphanedAt !== undefined && this.now >= orphanedAt + GRACE_MS;
    if (isSure && copies.length > 0 && !isExcused)
      this.faults.push(`EMQX holds ${id} (${copies.map(({ emqxId }) => emqxId).join()}), and it is sent`);
    // Of an older session's acknowledgements nothing can be known before their events come.
    const isOfSession = (this.acknowledged.get(id) ?? 0) >= (this.broker.session?.createdAt ?? Infinity);
    if (isSure && isOfSession && !isExcused)
      this.faults.push(`${id} was acknowledged ${this.now - (this.acknowledged.get(id) ?? 0)} ms ago, and is sent`);
    // A mailbox that does not know of a new session continues what it sent to the last one.
    const isKnown = this.tellsConnections && !this.wire.some(({ told }) => told.what === 'connected');
    this.noteOrder(id, topic, isSure && isKnown && !this.hasStood && this.orphans.size === 0);
    const emqxId = this.broker.publish(id, topic);
    return emqxId === null ? 'nobody' : this.losesAnswers ? null : emqxId;
  }

  /** Promise 6. What was sent before, or lost, or EMQX had and lost, comes when it can. */
  private noteOrder(id: string, topic: string, isChecked: boolean): void {
    const createdAt = this.broker.session?.createdAt ?? 0;
    if (this.sent.createdAt !== createdAt) this.sent = { createdAt, ids: new Set(), newest: new Map() };
    const { ids, newest } = this.sent;
    const last = newest.get(topic) ?? '';
    if (isChecked && id < last && !ids.has(id) && !this.givenUp.has(id)) this.faults.push(`${id} is sent after ${last}`);
    ids.add(id);
    if (isChecked && id > last) newest.set(topic, id);
  }

  save(text: string, version: number): boolean {
    if (this.record.version !== version) return false;
    this.record = { text, version: version + 1 };
    return true;
  }
}

function factOf(told: Told): Fact {
  switch (told.what) {
    case 'connected':
      return { kind: 'connected', at: told.at, cleanStart: told.cleanStart, expiryMs: told.expiryMs };
    case 'disconnected':
      return { kind: 'disconnected', at: told.at, connectedAt: told.connectedAt };
    case 'subscribed':
      return { kind: 'subscribed', request: { clientid: 'c', filter: told.filter, qos: 1, at: told.at } };
    case 'unsubscribed':
      return { kind: 'unsubscribed', clientid: 'c', filter: told.filter, at: told.at };
    case 'acked':
      return { kind: 'acked', id: told.id, isCopy: told.isOurs };
    case 'dropped':
      return { kind: 'dropped', id: told.id, reason: told.reason, copyId: told.copyId };
  }
}
