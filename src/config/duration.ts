const UNIT_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Reads a duration. Example: "7d" is 604,800,000 ms. @throws RangeError whose message says what is wrong. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text);
  if (match === null) {
    throw new RangeError(`"${text}" is not a duration: write a number and a unit, one of ms, s, m, h, d ("500ms", "30s", "2h", "7d")`);
  }
  const ms = Math.round(Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS]);
  if (ms < 1) throw new RangeError(`"${text}" is too short: a duration is at least 1ms`);
  // A time plus the duration must be a date that every database can store.
  if (ms > MAX_MS) throw new RangeError(`"${text}" is too long: a duration is at most 36500d`);
  return ms;
}

const MAX_MS = 36_500 * UNIT_MS.d;
