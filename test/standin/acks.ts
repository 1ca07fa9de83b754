/**
 * When the message.acked events of one session are fired. A client's small PUBACKs after a resume are held back in its own kernel (Nagle's
 * algorithm waits for the TCP acknowledgement, about 40 ms): EMQX has the first at once and the others together later (traces 1 and 5). What
 * the client wrote before them, such as a SUBSCRIBE, comes first. Here the others are late by themselves, counted from the first of a group:
 * a SUBSCRIBE that a client sends at once is always told of before them. The session counts them as acknowledged at once: EMQX's lists don't
 * name them, and no event has told, the worst that can be seen from outside.
 */
export class AckEvents {
  private waiting: (() => void)[] = [];
  private timer: NodeJS.Timeout | null = null;
  private atOnce = true;

  /** How many are late. */
  get count(): number {
    return this.waiting.length;
  }

  /** The session is resumed: of what it sends now the first is acknowledged at once. */
  resume(): void {
    this.atOnce = true;
  }

  /**
   * @param resumed the message was in the session when it was resumed
   * @param lateMs 0: no event is late
   */
  acked(fire: () => void, resumed: boolean, lateMs: number): void {
    const isLate = resumed && lateMs > 0 && !this.atOnce;
    if (resumed) this.atOnce = false;
    // One that is no part of the resume waits for the late ones before it: a client's acknowledgements keep their order.
    if (!isLate && this.waiting.length === 0) return fire();
    this.waiting.push(fire);
    this.timer ??= setTimeout(() => this.flush(), lateMs);
    this.timer.unref();
  }

  /** EMQX has read all that came before the connection's end. */
  flush(): void {
    const waiting = this.waiting;
    this.forget();
    for (const fire of waiting) fire();
  }

  forget(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.waiting = [];
  }
}
