/**
 * What the server uses of the broker's store of retained messages. Not every generation's REST API offers it.
 * @throws RetryableError for temporary trouble.
 */
export interface RetainerApi {
  /** Whether the broker keeps retained messages at all. */
  isOn(): Promise<boolean>;

  /**
   * When the broker started (ms, the broker's clock); in a cluster, when its oldest node started. null if the broker
   * does not say.
   */
  startedAt(): Promise<number | null>;

  /**
   * When the oldest retained message was published (ms, the broker's clock), without the broker's own topics
   * ($SYS/...). null if there is none.
   */
  oldest(): Promise<number | null>;

  /**
   * The id of the message that the broker retains for the topic; null if there is none.
   * @throws RefusedError for a topic that the API can't name.
   */
  idOf(topic: string): Promise<string | null>;
}
