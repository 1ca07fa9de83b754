import type { BrokerMessage } from './message';

export interface Limits {
  /** QoS 1 and 2 messages sent and not acknowledged: EMQX's max_inflight; a client's Receive Maximum may be lower. */
  readonly inflight: number;
  /** What waits behind them; beyond it the OLDEST is dropped. */
  readonly queue: number;
  /** What EMQX drops is gone without its delivery.dropped. */
  readonly silent?: boolean;
  /** More messages than this at once (in one bulk) end the client's connection and session: `mailbox_overflow`. Absent: never. */
  readonly mailbox?: number;
}

/** CONNECT, as EMQX understands it. */
export interface Connect {
  readonly clientid: string;
  readonly username: string | null;
  /** 4: MQTT 3.1.1; 5. */
  readonly version: number;
  readonly clean: boolean;
  /** Seconds that the session outlives the connection. */
  readonly expiry: number;
  readonly receiveMaximum?: number;
}

export interface Subscription {
  readonly qos: 0 | 1 | 2;
  readonly noLocal: boolean;
}

/** A message in a session. */
export interface Pending {
  readonly message: BrokerMessage;
  readonly qos: 0 | 1 | 2;
  /** EMQX sends it on a subscription: only then the packet and its events have the flag. */
  readonly retained: boolean;
  readonly noLocal: boolean;
  /** EMQX's inserted_at, nanoseconds: into the list where it is now. */
  insertedAt: bigint;
  /** It was there when the session was resumed. */
  resumed: boolean;
  /** QoS 2 after PUBREC: acknowledged, in flight until PUBCOMP. */
  released: boolean;
}

/** The way out to the client's connection. */
export interface Outlet {
  send(message: BrokerMessage, qos: 0 | 1 | 2, messageId: number | undefined, dup: boolean): void;
  /** PUBREL */
  release(messageId: number): void;
  /** Ends the connection; fires client.disconnected. */
  close(reason: string): void;
  /** Ends it and fires nothing. */
  kill(): void;
}
