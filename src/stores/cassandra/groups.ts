import { groupBy } from '../../base/parallel';
import { split } from '../../base/split';

/** One write, which Cassandra applies to one partition as a whole, has at most this many messages and about this many bytes. */
const MOST_TOGETHER = 100;
export const BYTES_TOGETHER = 262_144;
/** About this many bytes are sent before the next ones wait for an answer. */
const BYTES_IN_FLIGHT = 16 * 1_048_576;

/** The items of each topic, in groups for one write each. */
export function byTopic<T extends { readonly topic: string }>(items: readonly T[], sizeOf: (item: T) => number = () => 0): T[][] {
  return [...groupBy(items, ({ topic }) => topic).values()].flatMap((own) => split(own, MOST_TOGETHER, BYTES_TOGETHER, sizeOf));
}

/** Works on groups in parallel, but on large ones only on as many at once as have about BYTES_IN_FLIGHT. */
export async function eachGroup<T>(
  groups: readonly (readonly T[])[],
  sizeOf: (item: T) => number,
  work: (group: readonly T[]) => Promise<void>,
): Promise<void> {
  const bytesOf = (group: readonly T[]): number => group.reduce((sum, item) => sum + sizeOf(item), 0);
  for (const wave of split(groups, Infinity, BYTES_IN_FLIGHT, bytesOf)) await Promise.all(wave.map(work));
}
