import type { EmqxApi } from '../emqx/api';
import { inboxFilter } from './topic';

/** The client's own topic: subscribed by us, once for each sending, as sessions come and go. */
export class Inbox {
  private opened: boolean | null = null;

  constructor(
    private readonly clientid: string,
    private readonly emqx: EmqxApi,
  ) {}

  /** @returns false when the client is not connected. */
  async open(): Promise<boolean> {
    // QoS 2: each message then keeps its own.
    this.opened ??= (await this.emqx.subscribe(this.clientid, [{ topic: inboxFilter(this.clientid), qos: 2 }])) === 'subscribed';
    return this.opened;
  }
}
