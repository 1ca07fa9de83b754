let last = 0;

/** Microseconds since 1970, later than every time that this process has been told before. */
export function tick(): number {
  last = Math.max(last + 1, Date.now() * 1_000);
  return last;
}
