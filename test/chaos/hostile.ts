import { createHash } from 'node:crypto';
import type { Part } from './cast';

/** Text that no compression makes short: keys of an index have a longest length. */
const longText = (length: number): string =>
  Array.from({ length: Math.ceil(length / 64) }, (_, i) => createHash('sha256').update(String(i)).digest('hex'))
    .join('')
    .slice(0, length);

/** What EMQX's API takes in a path, about. */
export const LONGEST_ID = 7_900;

interface Hostile {
  readonly label: string;
  readonly topic: string;
  readonly filter?: string;
  readonly clientids: readonly string[];
}

/** Names that every object has, and names that break a URL, a topic level or an index. MQTT allows all of them. */
const HOSTILE: readonly Hostile[] = [
  { label: 'constructor', topic: 'constructor', clientids: ['constructor'] },
  { label: '__proto__', topic: '__proto__', clientids: ['__proto__'] },
  { label: 'toString', topic: 'toString', clientids: ['toString'] },
  { label: 'wildcard', topic: 'valueOf/__proto__', filter: 'valueOf/+', clientids: ['hasOwnProperty'] },
  { label: '$share/constructor', topic: 'x', filter: '$share/constructor/x', clientids: ['isPrototypeOf', 'a/b+c#'] },
  { label: '$share/__proto__', topic: 'y/z', filter: '$share/__proto__/y/#', clientids: ['../..', '%2e%2e%2fnodes'] },
  { label: 'long id', topic: 'long', clientids: [longText(4_000)] },
  { label: 'id of 8 KB', topic: 'longer', clientids: [longText(8_192)] },
];

/** One that is alone subscribes to something harmless, too: what is known of one filter must not be looked up under the name of another. */
const filtersOf = (filter: string, i: number): string[] => (isShared(filter) ? [filter] : [plainTopic(i), filter]);
const plainTopic = (i: number): string => `plain/${i}`;
const isShared = (filter: string): boolean => filter.startsWith('$share/');

export const hostileParts = (isInbox: boolean): Part[] =>
  HOSTILE.map(({ label, topic, filter = topic, clientids }, i) => ({
    ...{ kind: 'hostile', name: label, members: clientids, manner: {}, weight: 1 },
    topics: isShared(filter) ? [topic] : [plainTopic(i), topic],
    filters: filtersOf(filter, i),
    isShared: isShared(filter),
    // EMQX's API has no path for such a client: it has no inbox.
    isServed: !(isInbox && clientids.some(({ length }) => length > LONGEST_ID)),
  }));
