/**
 * What to do with the messages of a topic. Policies are an ordered list; the first whose filter matches the topic decides.
 * Durations are ms here, text like "7d" in the setting.
 */
export interface Policy {
  /** An MQTT topic filter, without `$share/...`. */
  readonly filter: string;
  /** `queue`: the first acknowledgement removes the message; `pubsub`: every client has a read position; `off`: not stored. */
  readonly mode: 'queue' | 'pubsub' | 'off';
  /** In pubsub mode, where a client that is new to a topic starts: at what is stored, or at its first subscription. */
  readonly from: 'earliest' | 'now';
  /** `inbox`: to `$offline/{clientid}/...`, which reaches the subscribing client alone (promise 7). */
  readonly deliverTo: 'topic' | 'inbox';
  readonly ttlMs: number;
  /** Per topic; the oldest go first. */
  readonly maxStored: number;
  readonly fetch: FetchPolicy;
  /** Unacknowledged messages per client that are in EMQX at once (promise 10). */
  readonly window: number;
  /** A QoS 0 subscriber sends no ack (promise 16): `settle`: delivered is enough; `keep`: stays stored; `skip`: not delivered. */
  readonly qos0: 'settle' | 'keep' | 'skip';
  /** `delivered`: a message is done when EMQX has taken it, for an EMQX that does not tell of acknowledgements. */
  readonly settle: 'acknowledged' | 'delivered';
  /** Whether messages published with QoS 0 are stored. */
  readonly storeQos0: boolean;
  readonly retain: 'off' | 'store' | 'restore';
}

export interface FetchPolicy {
  /** At most this many messages per subscribe; null: all. */
  readonly limit: number | null;
  /** Not older than this; null: any age. */
  readonly maxAgeMs: number | null;
}
