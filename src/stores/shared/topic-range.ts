import { isWildcard, matches } from '../../mqtt/topic';
import type { TopicQuery } from '../store';
import { compareText } from './order';

/**
 * The ranges of a sorted list of topics that can match a filter: one topic, the topics with a prefix, or both in this
 * order.
 */
export interface TopicRange {
  readonly exact: string | null;
  readonly prefix: string | null;
}

/**
 * Examples: `a/b` is one topic. `a/+/b` is in the range of `a/`. `a/#` is `a` itself and the range of `a/`, but not
 * `a-1/b`, which sorts between them.
 */
export function topicRange(filter: string): TopicRange {
  if (!isWildcard(filter)) return { exact: filter, prefix: null };
  const levels = filter.split('/');
  const wild = levels.findIndex((level) => level === '+' || level === '#');
  if (wild === 0) return { exact: null, prefix: '' };
  const parent = levels.slice(0, wild).join('/');
  return { exact: levels[wild] === '#' ? parent : null, prefix: `${parent}/` };
}

/** An index of topics in any database. */
export interface TopicSource {
  has(topic: string): Promise<boolean>;
  /** Topics that begin with the prefix and are greater than `after`, ascending. */
  behind(after: string, prefix: string): AsyncIterable<string>;
}

/** The result of Store.listTopics. */
export async function listTopics({ filter, after, limit }: TopicQuery, source: TopicSource): Promise<string[]> {
  const { exact, prefix } = topicRange(filter);
  const found: string[] = [];
  if (limit > 0 && exact !== null && compareText(exact, after) > 0 && (await source.has(exact))) found.push(exact);
  if (prefix === null || found.length >= limit) return found;
  for await (const topic of source.behind(after, prefix)) {
    if (matches(filter, topic) && found.push(topic) >= limit) break;
  }
  return found;
}
