import { matches } from '../../mqtt/topic';
import { compareText } from '../shared/order';
import { topicRange } from '../shared/topic-range';
import type { TopicQuery } from '../store';
import type { Client } from './client';
import { SHARD_NAMES, shardOf } from './keys';
import { TopicIndex, type Place } from './topic-index';

/**
 * A table of all topics that have content. It has shards, because otherwise all servers would write to one partition.
 */
export class TopicList {
  private readonly index: TopicIndex;

  constructor(client: Client, table: 'mqtt_topic' | 'mqtt_retain_topic') {
    this.index = new TopicIndex(client, table, 'shard');
  }

  add(topics: Iterable<string>): Promise<void> {
    return this.index.add(distinct(topics).map(placeOf));
  }

  leave(topics: Iterable<string>, isEmpty: (topic: string) => Promise<boolean>): Promise<void> {
    return this.index.leave(distinct(topics).map(placeOf), ({ topic }) => isEmpty(topic));
  }

  async list({ filter, after, limit }: TopicQuery): Promise<string[]> {
    if (limit <= 0) return [];
    const { exact, prefix } = topicRange(filter);
    const found: string[] = [];
    if (exact !== null && exact !== '' && compareText(exact, after) > 0 && (await this.index.has(placeOf(exact)))) found.push(exact);
    if (prefix === null || found.length >= limit) return found;
    const accepts = (topic: string) => topic !== exact && matches(filter, topic);
    return [...found, ...(await this.index.list(SHARD_NAMES, { prefix, after, limit: limit - found.length, accepts }))];
  }
}

const placeOf = (topic: string): Place => ({ partition: shardOf(topic), topic });

/** An old item without a topic can't be listed. */
const distinct = (topics: Iterable<string>): string[] => [...new Set(topics)].filter((topic) => topic !== '');
