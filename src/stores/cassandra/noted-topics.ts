import type { TopicIndex } from './topic-index';

/** A topic's entry is written again when this process wrote it longer ago than this (ms). */
const NOTED_MS = 5 * 60_000;
/**
 * Entries of topics without messages stay in mqtt_topic for this long (ms). It is longer than NOTED_MS, the time that a
 * save may take, and the difference between two clocks together. So a process that finds a topic empty and deletes its
 * entry has looked after the last save that relied on this entry.
 */
export const STALE_MS = 2 * NOTED_MS;
const MOST_TOPICS = 200_000;
/** Longer topics are not remembered, because of the memory that they take. */
const LONGEST = 512;

/** Enters topics into mqtt_topic, each one not again and again. */
export class NotedTopics {
  /** When the entry was written (ms). */
  private readonly noted = new Map<string, number>();

  constructor(private readonly index: Pick<TopicIndex<unknown>, 'noteAll'>) {}

  /** @param timestamp of the save (microseconds). */
  async note(topics: readonly string[], timestamp: number): Promise<void> {
    const now = timestamp / 1_000;
    const due = [...new Set(topics)].filter((topic) => (this.noted.get(topic) ?? 0) <= now - NOTED_MS);
    await this.index.noteAll(due, timestamp);
    for (const topic of due) {
      this.noted.delete(topic);
      if (topic.length <= LONGEST) this.noted.set(topic, now);
    }
    for (const topic of this.noted.keys()) {
      if (this.noted.size <= MOST_TOPICS) break;
      this.noted.delete(topic);
    }
  }
}
