/**
 * EMQX 5's ids: 32 hex digits, of which the first 16 are microseconds since 1970. Other ids (EMQX 4) don't contain a
 * time.
 */
const EMQX = /^[0-9A-F]{32}$/;

export function isTimed(id: string): boolean {
  return EMQX.test(id);
}

/** The id's time in ms since 1970; null if the id has none. */
export function timeOf(id: string): number | null {
  return isTimed(id) ? Number(BigInt(`0x${id.slice(0, 16)}`) / 1000n) : null;
}

/** A lower bound for the id, close to it in sort order. */
export function before(id: string): string {
  if (!isTimed(id) || /^0+$/.test(id)) return id.slice(0, -1);
  return (BigInt(`0x${id}`) - 1n).toString(16).toUpperCase().padStart(32, '0');
}
