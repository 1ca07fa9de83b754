import type { EmqxApi } from '../../emqx/api';
import { RefusedError } from '../../base/errors';
import { inboxFilter } from '../../mqtt/topic';

/**
 * The client's own topic: subscribed by us when a run begins, as sessions come and go. A run that goes on finds it there, or the client has
 * connected anew: what it would get now overtakes what the last connection lost (promise 6), so the run must end.
 */
export class Inbox {
  private opened: boolean | null;

  constructor(
    readonly clientid: string,
    readonly isNew: boolean,
    private readonly emqx: EmqxApi,
  ) {
    this.opened = isNew ? null : true;
  }

  /** @returns false when the client is not connected. */
  async open(): Promise<boolean> {
    // QoS 2: each message then keeps its own.
    this.opened ??= await this.subscribe();
    return this.opened;
  }

  private async subscribe(): Promise<boolean> {
    try {
      return (await this.emqx.subscribe(this.clientid, [{ topic: inboxFilter(this.clientid), qos: 2 }])) === 'subscribed';
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      // EMQX will never do it (the client calls itself `..`): to us it is never there. Its messages stay stored, and nobody else's wait for it.
      return false;
    }
  }

  /** For another member of a group, or a run that begins, another one is needed. */
  serves(clientid: string, isNew: boolean): boolean {
    return this.clientid === clientid && (this.isNew || !isNew);
  }
}
