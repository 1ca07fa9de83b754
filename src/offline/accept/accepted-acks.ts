/** Beyond it the oldest are forgotten: a message may be sent once more then, as at least once allows. */
const MOST = 200_000;

/** What was read from the store just before is sent within half of it, or read again (page-sender.ts). ms. */
const KEPT_MS = 10_000;

/**
 * Acknowledgements that this process has accepted and that wait in the queue: what they name is in the store still and must not be sent any more.
 * Under load they wait for seconds, and a delivery that is past its fences does not wait for them.
 */
export class AcceptedAcks {
  private readonly clients = new Map<string, readonly string[]>();
  /** Applied of late, and before that. */
  private leaving: string[] = [];
  private left: string[] = [];
  private turnedAt = 0;

  constructor(private readonly now: () => number) {}

  /** Before the event is answered. */
  note(id: string, clientid: string): void {
    this.clients.set(id, [...(this.clients.get(id) ?? []), clientid]);
    if (this.clients.size <= MOST) return;
    const [oldest] = this.clients.keys();
    if (oldest !== undefined) this.clients.delete(oldest);
  }

  /** What they name is in the store no more; a page that was read before may have it for a while. */
  applied(ids: readonly string[]): void {
    if (Math.abs(this.now() - this.turnedAt) > KEPT_MS) {
      for (const id of this.left) this.clients.delete(id);
      [this.left, this.leaving, this.turnedAt] = [this.leaving, [], this.now()];
    }
    this.leaving.push(...ids);
  }

  /** By anybody; or by this client. */
  has(id: string, clientid?: string): boolean {
    const clients = this.clients.get(id);
    return clients !== undefined && (clientid === undefined || clients.includes(clientid));
  }
}
