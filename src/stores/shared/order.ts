/**
 * Compares by code point, as every store sorts. JavaScript's own `<` compares UTF-16 units and puts U+1F600 before
 * U+FFFD.
 */
export function compareText(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
