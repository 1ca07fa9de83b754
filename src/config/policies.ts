/**
 * What the server does with the messages of a topic. Policies are an ordered list, and the first one whose filter
 * matches the topic decides. Durations are in ms here, and texts like "7d" in the setting.
 */
export interface Policy {
  /** An MQTT topic filter, without `$share/...`. */
  readonly filter: string;
  /**
   * `queue`: the first acknowledgement removes the message. `pubsub`: each client has a read position. `off`: messages
   * are not stored.
   */
  readonly mode: 'queue' | 'pubsub' | 'off';
  /**
   * Where a client that is new to a topic starts in pubsub mode: at the oldest stored message, or at its first
   * subscription.
   */
  readonly from: 'earliest' | 'now';
  /**
   * `topic`: messages are published to their topic. `inbox`: to `$offline/{clientid}/...`, which only the subscribing
   * client receives (promise 7).
   */
  readonly deliverTo: 'topic' | 'inbox';
  readonly ttlMs: number;
  /** How many messages are kept per topic. Above it the oldest are deleted. */
  readonly maxStored: number;
  readonly fetch: FetchPolicy;
  /** How many unacknowledged messages of one client may be in EMQX at once (promise 10). */
  readonly window: number;
  /**
   * What happens with messages for QoS 0 subscribers, which send no ack (promise 16). `settle`: a delivered message is
   * done. `keep`: the message stays stored. `skip`: the message is not delivered.
   */
  readonly qos0: 'settle' | 'keep' | 'skip';
  /**
   * `delivered`: a message is done when EMQX has accepted it. This is for an EMQX that does not report
   * acknowledgements.
   */
  readonly settle: 'acknowledged' | 'delivered';
  /** Whether messages published with QoS 0 are stored. */
  readonly storeQos0: boolean;
  readonly retain: 'off' | 'store' | 'restore';
}

export interface FetchPolicy {
  /** The most messages that one subscription is sent; null for all. */
  readonly limit: number | null;
  /** The greatest age of these messages at the time of subscribing (ms); null for any age. */
  readonly maxAgeMs: number | null;
}
