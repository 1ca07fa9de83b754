import { RefusedError } from '../../base/errors';
import { compileExpression, type Expression } from '../expression';
import { quote, rows, textOf, type Source, type Value } from '../points';
import { numberOf, toNanoseconds } from '../shared/time';
import { asObject, checkKeys, everyTopic, parseTemplates, type JsonObject, type Templates } from '../template';

/** A point in the form that /api/put takes. */
export interface DataPoint {
  readonly metric: string;
  /** ms since 1970. */
  readonly timestamp: number;
  readonly value: number;
  readonly tags: Readonly<Record<string, string>>;
}

/** All expressions in one list: measurement, timestamp, value, tags. */
export interface OpenTsdbTemplate {
  readonly expressions: readonly Expression[];
  readonly tags: readonly string[];
}

/** The template without `templates=`. */
export const DEFAULT = everyTopic(
  compileOpenTsdb({ measurement: 'mqtt_msg', tags: { topic: '$topic', clientid: '$clientid' }, value: '$payload' }),
);

/** OpenTSDB rejects a point without tags, so it gets this one. */
const NO_TAGS = { source: 'mqtt' };

const NANOSECONDS = 1_000_000n;

/** The greatest time that OpenTSDB takes for milliseconds: 13 digits. */
const MAX_TIMESTAMP = 9_999_999_999_999;

/** @throws RangeError that names the filter and the key */
export function parseOpenTsdb(text: string): Templates<OpenTsdbTemplate> {
  return parseTemplates(text, compileOpenTsdb);
}

function compileOpenTsdb(point: JsonObject): OpenTsdbTemplate {
  checkKeys(point, ['measurement', 'value'], ['tags', 'timestamp']);
  const tags = Object.entries(asObject(point['tags'] ?? {}, 'tags'));
  if (tags.some(([key]) => key === '')) throw new RangeError('tags: has an empty key');
  if (point['measurement'] === '') throw new RangeError('measurement: is empty');
  return {
    expressions: [
      compileExpression(point['measurement'], 'measurement'),
      compileExpression(point['timestamp'] ?? '$timestamp', 'timestamp'),
      compileExpression(point['value'], 'value'),
      ...tags.map(([key, value]) => compileExpression(value, `tags.${key}`)),
    ],
    tags: tags.map(([key]) => allowed(key)),
  };
}

/**
 * The points of a message, without those whose value is missing.
 * @throws RefusedError if a value is not a number
 */
export function* openTsdbPoints(source: Source, template: OpenTsdbTemplate): Generator<DataPoint> {
  for (const [measurement = null, timestamp = null, value = null, ...tags] of rows(source, template.expressions)) {
    if (value === null) continue;
    const metric = allowed(textOf(measurement));
    if (metric === '') throw new RefusedError('measurement: is empty');
    yield { metric, timestamp: timeOf(timestamp), value: valueOf(value), tags: tagsOf(template.tags, tags) };
  }
}

function valueOf(value: Value): number {
  const number = numberOf(value);
  if (number === null)
    throw new RefusedError(Buffer.isBuffer(value) ? 'value: the payload is no number' : `value: ${quote(value)} is no number`);
  return number;
}

function timeOf(value: Value): number {
  const time = toNanoseconds(value);
  if (time === null)
    throw new RefusedError(`timestamp: ${value === null ? 'is missing' : `${quote(value)} is no time in s, ms, µs or ns`}`);
  const timestamp = Number(time / NANOSECONDS);
  if (timestamp < 0 || timestamp > MAX_TIMESTAMP) throw new RefusedError(`timestamp: ${quote(value)} is out of OpenTSDB's range`);
  return timestamp;
}

function tagsOf(keys: readonly string[], values: readonly Value[]): Record<string, string> {
  const tags = keys.map((key, i) => [key, allowed(textOf(values[i] ?? null))] as const).filter(([, value]) => value !== '');
  return tags.length === 0 ? NO_TAGS : Object.fromEntries(tags);
}

/**
 * Names and tags may contain ASCII letters and digits, - _ . / and letters of Unicode's first plane. All other
 * characters become _.
 */
function allowed(text: string): string {
  return text.replace(/[^\p{L}0-9\-_./]|[\u{10000}-\u{10FFFF}]/gu, '_');
}
