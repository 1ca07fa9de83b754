/** Text that means the same inside quotes in every version, because no character ends a literal or escapes another. */
const PLAIN = /^[0-9A-Za-z_/.$+# -]*$/;

/**
 * A text as a literal of ClickHouse's SQL. Servers before 19 have no query parameters, so values can't always be bound.
 * A text that is not plain is written as the hex digits of its UTF-8 bytes, which can't be misread.
 */
export function text(value: string): string {
  return PLAIN.test(value) ? `'${value}'` : `unhex('${Buffer.from(value).toString('hex')}')`;
}

/** A whole number that is not negative: a limit, a time or a version. */
export function number(value: number): string {
  if (!Number.isSafeInteger(value) || value < 0) throw new TypeError(`${value} is not a whole number from 0`);
  return String(value);
}

/** A list for IN. ClickHouse does not accept an empty list. */
export function list(values: readonly string[]): string {
  if (values.length === 0) throw new TypeError('a list of nothing');
  return `(${values.map(text).join(', ')})`;
}

/** The name of a database, as the operator wrote it in STORE_URL. */
export function identifier(name: string): string {
  return `\`${name.replace(/[\\`]/g, '\\$&')}\``;
}
