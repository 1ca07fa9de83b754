import { decode, encode } from '../../../src/mailbox/box/encode';
import { runThen, type Fact } from '../../../src/mailbox/box/fact';
import { emptyMailbox, START, type Copy, type Cursor, type Mailbox, type Run } from '../../../src/mailbox/box/mailbox';
import { planOf, taken } from '../../../src/mailbox/box/plan';
import { step } from '../../../src/mailbox/box/step';
import { GRACE_MS } from '../../../src/mailbox/times';
import { matches } from '../../../src/mqtt/topic';
import { deepFreeze } from './build';
import type { World } from './world';

/** What a pass has done when it stands still, or dies. */
export type Effect = 'loaded' | 'asked' | 'read' | 'claimed' | 'published' | 'saved';

const MOST_ROUNDS = 1_000;

/**
 * One pass of a process over the client's mailbox, as MailPass does it; it stops after each effect, and whoever drives
 * it may never go on (a crash), or run another pass before it does.
 */
export class Pass {
  private facts: { readonly fact: Fact; readonly at: number }[] = [];
  private freed = new Set<string>();
  private mailbox: Mailbox = emptyMailbox('c');
  private version = 0;
  private freshAt = 0;
  /** The messages that the process has published. */
  readonly published: string[] = [];

  constructor(
    private readonly world: World,
    private readonly events: readonly Fact[],
    private readonly isRepeated: boolean,
    private readonly name: number,
  ) {}

  *work(): Generator<Effect> {
    this.load();
    yield 'loaded';
    for (const fact of this.events) this.learn(fact);
    if (this.isRepeated) this.learn({ kind: 'repeated' });
    this.learn({ kind: 'due' });
    if (planOf(this.mailbox, this.world.now).asks) {
      this.world.questions++;
      const answer = { at: this.world.now, ...this.world.broker.answer() };
      yield 'asked';
      this.learn({ kind: 'asked', ...answer });
    }
    this.release();
    for (const run of planOf(this.mailbox, this.world.now).gates) this.learn({ kind: 'gated', ...runThen(run), tails: null });
    for (let round = 0; ; round++) {
      if (round === MOST_ROUNDS) throw new Error('a pass goes round and round');
      const { again, run } = planOf(this.mailbox, this.world.now);
      if (!this.isFresh()) break;
      if (again > 0) yield* this.resend(again);
      else if (run !== null) yield* this.read(run);
      else break;
    }
    yield* this.save();
  }

  /** As Fresh.check. */
  private isFresh(): boolean {
    const { now, record } = this.world;
    if (now - this.freshAt <= GRACE_MS / 4) return true;
    if (record.version === this.version) this.freshAt = now;
    return record.version === this.version;
  }

  private load(): void {
    this.freshAt = this.world.now;
    const { text, version } = this.world.record;
    this.mailbox = text === null ? emptyMailbox('c') : decode(text);
    this.version = version;
  }

  private learn(fact: Fact, now = this.world.now, isNew = true): void {
    if (isNew) this.facts.push({ fact, at: now });
    const before = deepFreeze(this.mailbox);
    const { mailbox, freed } = step(before, deepFreeze(fact), now);
    this.world.watch(before, fact, mailbox);
    this.mailbox = mailbox;
    for (const id of freed) this.freed.add(id);
  }

  /** What a process published that died, or stands still, before it saved is held back by its claims alone: nobody else gives them up. */
  private release(): void {
    for (const id of this.freed) this.world.release(id, this.version);
    this.freed.clear();
  }

  private *read(run: Run): Generator<Effect> {
    const { world } = this;
    const room = world.window - taken(this.mailbox);
    const cursor = run.cursor ?? START;
    const sent = { kind: 'sent', ...runThen(run), from: run.cursor, unclocked: 0, hasInbox: false, window: world.window } as const;
    const nothing = { ...sent, copies: [], pauseUntil: null, isBlocked: false, isOver: false };
    const readAt = world.now;
    const { out, held } = this.mailbox;
    const isDue = (id: string, at: number): boolean => at <= run.at && !out.has(id) && !held.has(id);
    const all = world.messages.filter(({ id, topic, at }) => matches(run.filter, topic) && isDue(id, at) && isBehind(cursor, topic, id));
    const [first] = all;
    if (first === undefined) return this.learn({ ...nothing, cursor: null });
    if (room <= 0) return this.learn({ ...nothing, cursor });
    const page = all.filter(({ topic }) => topic === first.topic).slice(0, room);
    const last = page.at(-1) as (typeof page)[number];
    yield 'read';
    const { copies, isOver, isStopped, isBlocked, isStale } = yield* this.send(page, run, readAt);
    const pauseUntil = isStopped ? world.now + GRACE_MS : isStale ? world.now + 1 : null;
    this.learn({
      ...sent,
      copies,
      isBlocked,
      isOver,
      pauseUntil,
      cursor: isStopped || isStale ? run.cursor : { topic: last.topic, id: last.id },
    });
  }

  private *resend(count: number): Generator<Effect> {
    const { world } = this;
    const done: string[] = [];
    const copies: [string, Copy][] = [];
    let [isStopped, parcels] = [false, 0];
    for (const ref of this.mailbox.again.slice(0, count)) {
      if (taken(this.mailbox) + parcels >= world.window) break;
      const message = world.messages.find(({ id }) => id === ref.id);
      if (message === undefined) {
        done.push(ref.id);
        continue;
      }
      parcels++;
      const result = yield* this.send([message], ref, world.now);
      copies.push(...result.copies);
      isStopped ||= result.isStopped || result.isStale;
      if (result.isOver) done.push(...this.mailbox.again.filter((each) => each.filter === ref.filter).map(({ id }) => id));
      else if (!result.isStopped && !result.isStale && result.copies.length === 0) done.push(ref.id);
    }
    this.learn({ kind: 'resent', copies, done, stopped: isStopped });
  }

  private *send(
    messages: readonly { id: string; topic: string }[],
    { clientid, filter }: { clientid: string; filter: string },
    readAt: number,
  ): Generator<Effect, Result> {
    const { world } = this;
    const claims = messages.map(({ id }) => world.claim(id, this.version + 1));
    const stop = claims.indexOf('own');
    const due = messages.filter((_, i) => claims[i] === 'granted' && (stop < 0 || i < stop));
    for (const [i, { id }] of messages.entries())
      if (claims[i] === 'granted' && !due.some((each) => each.id === id)) world.release(id, this.version + 1);
    yield 'claimed';
    const result = {
      copies: [] as [string, Copy][],
      isOver: false,
      isStopped: stop >= 0,
      isBlocked: false,
      isStale: world.now - Math.min(readAt, this.freshAt) > GRACE_MS / 2,
    };
    const unacked = due.filter(({ id }) => !world.isAcknowledged(id));
    if (result.isStale) for (const { id } of due) world.release(id, this.version + 1);
    if (result.isStale || unacked.length === 0) return result;
    for (const { id, topic } of unacked) {
      const emqxId = world.publish(id, topic, this.name);
      if (emqxId === 'nobody') {
        result.isOver = true;
        world.release(id, this.version + 1);
      } else {
        this.published.push(id);
        result.copies.push([id, { topic, qos: 1, clientid, filter, sentAt: world.now, emqxId, isMissing: false }]);
      }
    }
    yield 'published';
    return result;
  }

  private *save(): Generator<Effect> {
    for (;;) {
      this.wake();
      const text = encode(this.mailbox);
      if (this.world.save(text, this.version)) break;
      this.load();
      for (const { fact, at } of [...this.facts]) this.learn(fact, at, false);
    }
    this.release();
    yield 'saved';
  }

  /** As MailPass.wake: one wake for a mailbox is in the queue. */
  private wake(): void {
    const { now } = this.world;
    const wanted = planOf(this.mailbox, now).wakeAt;
    const { wakeAt, thenAt } = this.mailbox;
    if (wanted === null || (wakeAt !== null && wakeAt <= wanted && wakeAt > now)) return;
    this.world.wakes.push(Math.max(wanted, now));
    this.mailbox = { ...this.mailbox, wakeAt: Math.max(wanted, now), thenAt: wakeAt !== null && wakeAt > now ? wakeAt : thenAt };
  }
}

interface Result {
  readonly copies: [string, Copy][];
  readonly isOver: boolean;
  readonly isStopped: boolean;
  readonly isBlocked: boolean;
  readonly isStale: boolean;
}

const isBehind = (cursor: Cursor, topic: string, id: string): boolean => topic > cursor.topic || (topic === cursor.topic && id > cursor.id);
