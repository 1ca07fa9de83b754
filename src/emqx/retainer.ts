/**
 * What we ask of the broker's own store of retained messages. Not every generation's REST API can tell. Methods throw RetryableError
 * for a transient trouble.
 */
export interface RetainerApi {
  /** Whether the broker keeps retained messages at all. */
  isOn(): Promise<boolean>;

  /** When the broker began to run, in ms of its own clock: of a cluster the node that runs longest. null: it does not say. */
  startedAt(): Promise<number | null>;

  /** When the oldest message that it retains was published, in ms of its own clock; its own topics ($SYS/...) left out. null: there is none. */
  oldest(): Promise<number | null>;

  /** What it retains for the topic: the id that it gave to the message. null: nothing. Throws RefusedError for a topic that it can't be asked about. */
  idOf(topic: string): Promise<string | null>;
}
