/** The digits of an EMQX id that are its time, in µs. */
const TIME_DIGITS = 16;

/**
 * The score of a message id in a topic's sorted set. Redis sorts by score, and by bytes where scores are equal. A smaller id never has a
 * greater score, so the set is sorted by id. The score of an EMQX id is the time in it (ms), which EMQX's readers expect there.
 */
export function idScore(id: string): number {
  const digits = /^[0-9A-F]*/.exec(id.slice(0, TIME_DIGITS))?.[0] ?? '';
  const rest = digits.length === TIME_DIGITS ? '' : fill(id.charAt(digits.length), TIME_DIGITS - digits.length);
  return Math.floor(parseInt(digits + rest, 16) / 1_000);
}

/** Digits in place of a character that is none, so that the id stays between its neighbours. `''` is the end of the id. */
function fill(character: string, length: number): string {
  if (character < '0') return '0'.repeat(length);
  // These characters lie between the digits 9 and A.
  return character < 'A' ? 'A'.padEnd(length, '0') : 'F'.repeat(length);
}
