/** Data points in InfluxDB's line protocol. All functions are pure. */

/** InfluxDB's types: a text, a float, an integer (bigint) or a boolean. */
export type FieldValue = string | number | bigint | boolean;

export interface Point {
  readonly measurement: string;
  /** Sorted by key, none of them empty. */
  readonly tags: readonly (readonly [key: string, value: string])[];
  readonly fields: readonly (readonly [key: string, value: FieldValue])[];
  /** ns since 1970. */
  readonly time: bigint;
}

export function lineOf({ measurement, tags, fields, time }: Point): string {
  const tagSet = tags.map(([key, value]) => `,${escapeKey(key)}=${escapeKey(value)}`).join('');
  const fieldSet = fields.map(([key, value]) => `${escapeKey(key)}=${fieldText(value)}`).join(',');
  return `${escapeMeasurement(measurement)}${tagSet} ${fieldSet} ${time}`;
}

/** The fields by which InfluxDB distinguishes series. */
export function seriesOf({ measurement, tags }: Point): string {
  return JSON.stringify([measurement, tags]);
}

function fieldText(value: FieldValue): string {
  if (typeof value === 'string') return `"${value.replace(/["\\]/g, '\\$&')}"`;
  return typeof value === 'bigint' ? `${value}i` : String(value);
}

function escapeMeasurement(text: string): string {
  return expressible(text).replace(/[, ]/g, '\\$&');
}

/** Escapes keys of tags and fields, and values of tags. */
function escapeKey(text: string): string {
  return expressible(text).replace(/[,= ]/g, '\\$&');
}

/**
 * Outside of field values the protocol can't express a line break, nor a backslash before an escape or at the end:
 * InfluxDB would misread the rest of the batch. As in Telegraf, a line break becomes a backslash and an n. Such a
 * backslash gets a _ after it.
 */
function expressible(text: string): string {
  return text
    .replace(/\n/g, '\\n')
    .replace(/\r/g, '\\r')
    .replace(/\\(?=[,= ]|$)/g, '\\_');
}
