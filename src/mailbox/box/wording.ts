/** Times, numbers and lists in the sentences of explain.ts. Pure functions. */

const DAY_MS = 86_400_000;
const MOST_LISTED = 5;

/** `14:05:09 UTC`, with the date when it is another day than `now` (both ms). */
export function at(ms: number, now: number): string {
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return 'an unknown time';
  const [day = '', time = ''] = date.toISOString().split('T');
  const clock = `${time.slice(0, 8)} UTC`;
  return Math.floor(ms / DAY_MS) === Math.floor(now / DAY_MS) ? clock : `${day} ${clock}`;
}

/** `12 s`, `3 min`, `2 h`, `4 days`. */
export function lasting(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 2 * 3_600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 2 * 86_400) return `${Math.round(seconds / 3_600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

/** `1 message`, `2 messages`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** `a, b and c`; of many only the first are named. */
export function listed(names: readonly string[]): string {
  const shown = names.slice(0, MOST_LISTED).map((name) => name.slice(0, 200));
  if (names.length > MOST_LISTED) return `${shown.join(', ')} and ${names.length - MOST_LISTED} more`;
  const last = shown.pop() ?? '';
  return shown.length === 0 ? last : `${shown.join(', ')} and ${last}`;
}
