import type { Policy } from '../../config/policies';
import type { Leases, SharedState } from '../../lanes/state';

/**
 * Who sends a message at the moment (promise 9). In queue mode one client has it at a time; in pubsub mode everybody gets it, and only the
 * consumer itself must not be sent it twice.
 */
export class DeliveryLeases {
  constructor(
    private readonly state: Pick<SharedState, 'lease' | 'release'>,
    /** Of the consumer: windows.ts. */
    private readonly owner: string,
  ) {}

  /** By message id. */
  async take(mode: Policy['mode'], ids: readonly string[], ttlMs: number): Promise<Leases> {
    if (ids.length === 0) return { granted: new Set(), own: new Set() };
    const nameOf = this.names(mode);
    const { granted, own } = await this.state.lease(ids.map(nameOf), this.owner, ttlMs);
    return { granted: new Set(ids.filter((id) => granted.has(nameOf(id)))), own: new Set(ids.filter((id) => own.has(nameOf(id)))) };
  }

  async giveUp(mode: Policy['mode'], ids: readonly string[]): Promise<void> {
    if (ids.length > 0) await this.state.release(ids.map(this.names(mode)), this.owner);
  }

  /** Where the mode of their topics is not known any more. */
  async giveUpAll(ids: readonly string[]): Promise<void> {
    if (ids.length > 0) await this.state.release([...ids.map(this.names('queue')), ...ids.map(this.names('pubsub'))], this.owner);
  }

  private names(mode: Policy['mode']): (id: string) => string {
    return (id) => (mode === 'pubsub' ? `${this.owner.slice(0, 32)}/${id}` : id);
  }
}
