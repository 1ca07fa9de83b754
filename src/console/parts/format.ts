const UNITS = [
  ['day', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
] as const;

/** Example: durationText(200_000) is "3 min". */
export function durationText(ms: number): string {
  for (const [name, size] of UNITS) {
    const count = Math.floor(ms / size);
    if (count >= 1) return `${count} ${name}${name === 'day' && count > 1 ? 's' : ''}`;
  }
  return 'less than 1 s';
}

/** Example: "3 min ago", "in 2 h". */
export function agoText(at: number, now: number): string {
  return at > now + 1_000 ? `in ${durationText(at - now)}` : `${durationText(Math.max(0, now - at))} ago`;
}

/** Local time to the second, in an order that sorts. Example: 2026-11-27 12:05:09. */
export function timeText(at: number): string {
  const date = new Date(at);
  const two = (value: number): string => String(value).padStart(2, '0');
  return (
    `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ` +
    `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
  );
}

export function countText(count: number): string {
  return count.toLocaleString('en-US');
}

/** Example: counted(1, 'message') is "1 message", counted(2, 'message') is "2 messages". */
export function counted(count: number, noun: string): string {
  return `${countText(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** For axes and figures. Examples: 0.25, 12.3, 1,234, 56k. */
export function numberText(value: number): string {
  if (value >= 1e6) return `${trimmed(value / 1e6)}M`;
  if (value >= 1e4) return `${trimmed(value / 1e3)}k`;
  if (value >= 100) return countText(Math.round(value));
  return trimmed(value);
}

function trimmed(value: number): string {
  return value.toFixed(value >= 10 ? 1 : 2).replace(/\.?0+$/, '');
}

export function bytesText(bytes: number): string {
  if (bytes >= 1_048_576) return `${trimmed(bytes / 1_048_576)} MB`;
  return bytes >= 1_024 ? `${trimmed(bytes / 1_024)} KB` : `${bytes} B`;
}
