/** EMQX 5's ids: 32 hex digits, the first 16 of them microseconds since 1970. Other ids (of EMQX 4) say nothing about time. */
const EMQX = /^[0-9A-F]{32}$/;

export function isTimed(id: string): boolean {
  return EMQX.test(id);
}

/** ms since 1970; null: the id does not say. */
export function timeOf(id: string): number | null {
  return isTimed(id) ? Number(BigInt(`0x${id.slice(0, 16)}`) / 1000n) : null;
}

/** Something that sorts before the id, and after most that do. */
export function before(id: string): string {
  if (!isTimed(id) || /^0+$/.test(id)) return id.slice(0, -1);
  return (BigInt(`0x${id}`) - 1n).toString(16).toUpperCase().padStart(32, '0');
}
