import { streamOf, type Identity } from './message';

export interface OrderBreak {
  readonly subscriber: string;
  readonly identity: Identity;
  /** The later message that the server sent first. */
  readonly overtakenBy: number;
  readonly at: number;
}

/**
 * Order: what the server sends must not come before an earlier message of the same publisher and topic that the subscriber has not got yet.
 * A repeat may come at any time. What EMQX delivers itself, at once, comes before what was stored: that is as MQTT has it.
 */
export class Order {
  readonly breaks: OrderBreak[] = [];
  /**
   * Sent in order, and the earlier one was lost with a connection that broke: its repeat comes behind a later one that reached the next connection
   * before the server knew of it. A session that ends with its connection has no order beyond it.
   */
  lostWithConnection = 0;
  /** By subscriber and stream: the greatest that came from the server, and when the subscription that it came through was made. */
  private readonly highest = new Map<string, { readonly sequence: number; readonly since: number }>();
  /** By subscriber. */
  private readonly subscribedAt = new Map<string, number>();

  /** The subscriber has a new connection and its subscriptions. */
  subscribes(subscriber: string): void {
    this.subscribedAt.set(subscriber, performance.now());
  }

  /** The subscriber gets it for the first time. @param sentAt when the server first sent it. */
  first(subscriber: string, identity: Identity, ours: boolean, sentAt: number | undefined, at: number): void {
    const key = `${subscriber} ${streamOf(identity)}`;
    const highest = this.highest.get(key);
    if (highest === undefined || identity.sequence > highest.sequence) {
      if (ours) this.highest.set(key, { sequence: identity.sequence, since: this.subscribedAt.get(subscriber) ?? Infinity });
    } else if ((sentAt ?? Infinity) < highest.since) this.lostWithConnection++;
    else this.breaks.push({ subscriber, identity, overtakenBy: highest.sequence, at });
  }
}
