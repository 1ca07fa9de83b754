/**
 * Splits a list in its order. Each part has at most `most` items and, if it has more than one item, at most `bytes`.
 * Without `bytes` only the number of items counts.
 */
export function split<T>(items: Iterable<T>, most: number, bytes = Infinity, sizeOf: (item: T) => number = () => 0): T[][] {
  const parts: T[][] = [];
  let size = 0;
  for (const item of items) {
    const own = sizeOf(item);
    const last = parts.at(-1);
    if (last === undefined || last.length >= most || size + own > bytes) {
      parts.push([item]);
      size = own;
    } else {
      last.push(item);
      size += own;
    }
  }
  return parts;
}
