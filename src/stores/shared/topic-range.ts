import { isWildcard, matches } from '../../mqtt/topic';
import type { TopicQuery } from '../store';
import { compareText } from './order';

/** Where in a sorted list of topics those that match a filter are: one topic, what begins with a prefix, or both in this order. */
export interface TopicRange {
  readonly exact: string | null;
  readonly prefix: string | null;
}

/** `a/b` is one topic, `a/+/b` begins with `a/`, and `a/#` is `a` itself and what begins with `a/`, not `a-1/b`, which sorts between them. */
export function topicRange(filter: string): TopicRange {
  if (!isWildcard(filter)) return { exact: filter, prefix: null };
  const levels = filter.split('/');
  const wild = levels.findIndex((level) => level === '+' || level === '#');
  if (wild === 0) return { exact: null, prefix: '' };
  const parent = levels.slice(0, wild).join('/');
  return { exact: levels[wild] === '#' ? parent : null, prefix: `${parent}/` };
}

/** An index of topics, whatever it is made of. */
export interface TopicSource {
  has(topic: string): Promise<boolean>;
  /** Topics greater than `after` that begin with the prefix, ascending. */
  behind(after: string, prefix: string): AsyncIterable<string>;
}

/** What Store.listTopics answers. */
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
