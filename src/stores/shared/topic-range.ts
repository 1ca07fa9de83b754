import { isWildcard } from '../../offline/topic';

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
