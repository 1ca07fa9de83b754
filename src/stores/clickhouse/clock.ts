let last = 0;

/** Microseconds since 1970, greater than all earlier results in this process. */
export function tick(): number {
  last = Math.max(last + 1, Date.now() * 1_000);
  return last;
}
