import type { HeldView, SessionView } from '../../../src/emqx/api';
import { matches } from '../../../src/mqtt/topic';

/** A copy of a stored message in a client's session. */
export interface Held {
  readonly emqxId: string;
  readonly id: string;
  readonly topic: string;
  /** A delivery of ours; false: EMQX's own. */
  readonly isOurs: boolean;
}

interface Session {
  readonly createdAt: number;
  connectedAt: number;
  connected: boolean;
  readonly expiryMs: number;
  readonly filters: Set<string>;
  copies: Held[];
}

export type Told =
  | { readonly what: 'connected'; readonly at: number; readonly cleanStart: boolean; readonly expiryMs: number }
  | { readonly what: 'disconnected'; readonly at: number; readonly connectedAt: number }
  | { readonly what: 'subscribed' | 'unsubscribed'; readonly at: number; readonly filter: string }
  | { readonly what: 'acked'; readonly id: string; readonly isOurs: boolean }
  | { readonly what: 'dropped'; readonly id: string; readonly copyId: string; readonly reason: string };

/** What of EMQX one client's mailbox sees: its session, what that holds, and events that tell of it (`tell`). */
export class Broker {
  session: Session | null = null;
  /** 5.7 and later. */
  lists = true;
  private count = 0;

  constructor(
    private readonly now: () => number,
    private readonly tell: (told: Told) => void,
  ) {}

  get isConnected(): boolean {
    return this.session?.connected === true;
  }

  get copies(): readonly Held[] {
    return this.session?.copies ?? [];
  }

  connect(clean: boolean, expiryMs: number): void {
    if (this.isConnected) this.disconnect();
    const at = this.now();
    const known = clean ? null : this.session;
    this.session = {
      createdAt: known?.createdAt ?? at,
      connectedAt: at,
      connected: true,
      expiryMs,
      filters: known?.filters ?? new Set(),
      copies: known?.copies ?? [],
    };
    this.tell({ what: 'connected', at, cleanStart: clean, expiryMs });
  }

  disconnect(): void {
    const { session } = this;
    if (session?.connected !== true) return;
    session.connected = false;
    this.tell({ what: 'disconnected', at: this.now(), connectedAt: session.connectedAt });
    if (session.expiryMs === 0) this.session = null;
  }

  subscribe(filter: string): void {
    this.session?.filters.add(filter);
    this.tell({ what: 'subscribed', at: this.now(), filter });
  }

  unsubscribe(filter: string): void {
    if (this.session?.filters.delete(filter) === true) this.tell({ what: 'unsubscribed', at: this.now(), filter });
  }

  /** Somebody publishes, and EMQX has it for the client if that is subscribed. */
  live(id: string, topic: string): boolean {
    const { session } = this;
    if (session === null || ![...session.filters].some((filter) => matches(filter, topic))) return false;
    session.copies.push({ emqxId: id, id, topic, isOurs: false });
    return true;
  }

  /** @returns EMQX's id; null: nobody is there. */
  publish(id: string, topic: string): string | null {
    if (this.session === null) return null;
    const emqxId = `E${this.count++}`;
    this.session.copies.push({ emqxId, id, topic, isOurs: true });
    return emqxId;
  }

  ack(index: number): Held | null {
    const taken = this.isConnected ? this.take(index) : null;
    if (taken !== null) this.tell({ what: 'acked', id: taken.id, isOurs: taken.isOurs });
    return taken;
  }

  /** EMQX gives up a copy. */
  drop(index: number, reason: string, isTold: boolean): Held | null {
    const taken = this.take(index);
    if (taken !== null && isTold && taken.isOurs) this.tell({ what: 'dropped', id: taken.id, copyId: taken.emqxId, reason });
    return taken;
  }

  private take(index: number): Held | null {
    const { session } = this;
    const taken = session?.copies[index % Math.max(1, session.copies.length)];
    if (session === null || taken === undefined) return null;
    session.copies = session.copies.filter((each) => each !== taken);
    return taken;
  }

  answer(): { readonly session: SessionView | null; readonly held: HeldView | null } {
    const { session } = this;
    if (session === null) return { session: null, held: null };
    const { connected, connectedAt, createdAt, expiryMs, copies } = session;
    const view: SessionView = {
      connected,
      connectedAt,
      createdAt,
      persistent: expiryMs > 0,
      durable: false,
      queued: copies.length,
      inflight: 0,
    };
    if (!connected) return { session: view, held: null };
    const messages = copies.map(({ emqxId, topic, isOurs }) => ({ id: emqxId, topic, from: isOurs ? 'http_api' : 'publisher' }));
    return { session: view, held: this.lists ? { kind: 'list', messages, complete: true } : { kind: 'unknown' } };
  }
}
