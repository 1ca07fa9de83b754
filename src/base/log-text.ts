const LEVEL_WIDTH = 5;
/**
 * Control characters, invisible line breaks, and marks that change the direction of text: a terminal must not act on
 * what a client sent.
 */
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
/** These need no quotes. */
const PLAIN = /^[\p{L}\p{N}_.:/@%+,~*$#()[\]-]+$/u;

/**
 * The JSON line of a record as `2026-11-27T11:00:00.000Z WARN  message key=value ...`. Values with spaces, quotes or
 * control characters are JSON strings. What an object has inside is written as `err.message=...`.
 */
export function textLine(json: string): string {
  let record: Record<string, unknown>;
  try {
    record = JSON.parse(json) as Record<string, unknown>;
  } catch {
    return `${escaped(json.trimEnd())}\n`;
  }
  const { time, level, msg, ...fields } = record;
  const head = [String(time), String(level).toUpperCase().padEnd(LEVEL_WIDTH), escaped(String(msg ?? ''))];
  return `${[...head, ...pairs(fields, '')].join(' ')}\n`;
}

function pairs(fields: object, prefix: string): string[] {
  return Object.entries(fields).flatMap(([key, value]: [string, unknown]) => {
    const name = `${prefix}${key}`;
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return pairs(value, `${name}.`);
    return [`${PLAIN.test(name) ? name : quoted(name)}=${valueText(value)}`];
  });
}

function valueText(value: unknown): string {
  if (typeof value === 'string') return PLAIN.test(value) ? value : quoted(value);
  return typeof value === 'object' && value !== null ? quoted(JSON.stringify(value)) : String(value);
}

function quoted(text: string): string {
  return escaped(JSON.stringify(text));
}

function escaped(text: string): string {
  return text.replace(UNPRINTABLE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
