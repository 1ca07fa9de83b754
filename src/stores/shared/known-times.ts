/**
 * The least of the times (ms); null if none is known. 0 stands for a time that the row of a taken over table does not have:
 * such a message would count as decades old.
 */
export function leastKnown(times: readonly number[]): number | null {
  const known = times.filter((at) => at > 0);
  return known.length === 0 ? null : Math.min(...known);
}
