/** A data point in InfluxDB's line protocol. Pure functions. */

/** As InfluxDB keeps it: a text, a float, an integer (bigint) or a boolean. */
export type FieldValue = string | number | bigint | boolean;

export interface Point {
  readonly measurement: string;
  /** By ascending key, none of them empty. */
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

/** What InfluxDB tells series by. */
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

/** Keys of tags and fields, and the values of tags. */
function escapeKey(text: string): string {
  return expressible(text).replace(/[,= ]/g, '\\$&');
}

/**
 * Outside of field values the protocol has no way to write a line break, nor a backslash where an escape or the end follows: InfluxDB
 * would read the rest of the batch wrongly. As in Telegraf, a line break becomes a backslash and an n; such a backslash gets a _ behind it.
 */
function expressible(text: string): string {
  return text
    .replace(/\n/g, '\\n')
    .replace(/\r/g, '\\r')
    .replace(/\\(?=[,= ]|$)/g, '\\_');
}
