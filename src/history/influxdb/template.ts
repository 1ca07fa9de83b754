import { RefusedError } from '../../base/errors';
import { compareText } from '../../stores/shared/order';
import { compileExpression, type Expression } from '../expression';
import { quote, rows, textOf, type Source, type Value } from '../points';
import { numberOf, toNanoseconds } from '../shared/time';
import { asObject, checkKeys, everyTopic, parseTemplates, type JsonObject, type Templates } from '../template';
import { seriesOf, type FieldValue, type Point } from './line';

const FIELD_TYPES = ['float', 'integer', 'string', 'boolean'] as const;
type FieldType = (typeof FIELD_TYPES)[number];

/** All expressions in one list: measurement, timestamp, tags, fields. */
export interface InfluxTemplate {
  readonly expressions: readonly Expression[];
  readonly tags: readonly string[];
  readonly fields: readonly { readonly key: string; readonly type: FieldType | null }[];
  /** True if points have the message's own time. Points that would replace each other then get different times. */
  readonly ownTime: boolean;
}

/** The template without `templates=`. */
export const DEFAULT = everyTopic(
  compileInflux({
    measurement: 'mqtt_msg',
    tags: { topic: '$topic', clientid: '$clientid', qos: '$qos' },
    fields: { id: '$id', payload: '$payload', payload_base64: '$payload_base64' },
  }),
);

/** @throws RangeError that names the filter and the key */
export function parseInflux(text: string): Templates<InfluxTemplate> {
  return parseTemplates(text, compileInflux);
}

function compileInflux(point: JsonObject): InfluxTemplate {
  checkKeys(point, ['measurement', 'fields'], ['tags', 'timestamp', 'types']);
  const types = asObject(point['types'] ?? {}, 'types');
  const fields = named(point['fields'], 'fields');
  const tags = named(point['tags'] ?? {}, 'tags').sort(([a], [b]) => compareText(a, b));
  if (fields.length === 0) throw new RangeError('fields: are empty; InfluxDB stores no point without a field');
  const stranger = Object.keys(types).find((key) => !fields.some(([field]) => field === key));
  if (stranger !== undefined) throw new RangeError(`types.${stranger}: is the type of no field`);
  const timestamp = compileExpression(point['timestamp'] ?? '$timestamp', 'timestamp');
  return {
    expressions: [measurementOf(point['measurement']), timestamp, ...tags.map(([, value]) => value), ...fields.map(([, value]) => value)],
    tags: tags.map(([key]) => key),
    fields: fields.map(([key]) => ({ key, type: typeOf(types[key], `types.${key}`) })),
    ownTime: timestamp.kind === 'placeholder' && timestamp.name === '$timestamp',
  };
}

function measurementOf(json: unknown): Expression {
  const measurement = compileExpression(json, 'measurement');
  if (measurement.kind === 'constant') checkMeasurement(String(measurement.value), (problem) => new RangeError(problem));
  return measurement;
}

function checkMeasurement(text: string, error: (problem: string) => Error): void {
  if (text === '') throw error('measurement: is empty');
  if (text.startsWith('#')) throw error('measurement: begins with #, which makes it a comment');
}

function named(json: unknown, at: string): [key: string, value: Expression][] {
  return Object.entries(asObject(json, at)).map(([key, value]) => {
    if (key === '') throw new RangeError(`${at}: has an empty key`);
    if (key === 'time') throw new RangeError(`${at}.time: InfluxDB keeps this name for the timestamp`);
    return [key, compileExpression(value, `${at}.${key}`)];
  });
}

function typeOf(json: unknown, at: string): FieldType | null {
  if (json === undefined) return null;
  const type = FIELD_TYPES.find((each) => each === json);
  if (type === undefined) throw new RangeError(`${at}: is ${JSON.stringify(json)}; known are ${FIELD_TYPES.join(', ')}`);
  return type;
}

/**
 * The points of a message, without those that have no field.
 * @throws RefusedError if a value does not fit
 */
export function* influxPoints(source: Source, template: InfluxTemplate): Generator<Point> {
  const seen = new Map<string, bigint>();
  for (const [measurement, timestamp, ...values] of rows(source, template.expressions)) {
    const fields = template.fields.flatMap(({ key, type }, i): [string, FieldValue][] => {
      const value = fieldValue(key, values[template.tags.length + i] ?? null, type);
      return value === null ? [] : [[key, value]];
    });
    if (fields.length === 0) continue;
    const tags = template.tags.flatMap((key, i): [string, string][] => {
      const text = textOf(values[i] ?? null);
      return text === '' ? [] : [[key, text]];
    });
    const point = { measurement: textOf(measurement ?? null), tags, fields, time: timeOf(timestamp ?? null) };
    checkMeasurement(point.measurement, (problem) => new RefusedError(problem));
    yield template.ownTime ? apart(point, source, seen) : point;
  }
}

/**
 * InfluxDB keeps one point per series and time. So the elements of an array, and messages of the same microsecond, get
 * different nanoseconds.
 */
function apart(point: Point, { time }: Source, seen: Map<string, bigint>): Point {
  const series = seriesOf(point);
  const before = seen.get(series) ?? 0n;
  seen.set(series, before + 1n);
  return { ...point, time: point.time + time.tie + before };
}

function timeOf(value: Value): bigint {
  const time = toNanoseconds(value);
  if (time === null)
    throw new RefusedError(`timestamp: ${value === null ? 'is missing' : `${quote(value)} is no time in s, ms, µs or ns`}`);
  return time;
}

/**
 * A JSON number becomes a float even without a fraction, because the type of a field can't change, and a sensor may
 * send 20 before 20.5. $qos and $timestamp are integers. `types` can change that.
 */
function fieldValue(key: string, value: Value, type: FieldType | null): FieldValue | null {
  if (value === null || Buffer.isBuffer(value)) return null;
  const converted = type === null ? value : convert(value, type);
  if (converted === null || (typeof converted === 'number' && !Number.isFinite(converted))) {
    throw new RefusedError(`fields.${key}: ${quote(value)} is no ${type ?? 'float'}`);
  }
  return converted;
}

function convert(value: string | number | bigint | boolean, type: FieldType): FieldValue | null {
  switch (type) {
    case 'string':
      return String(value);
    case 'float':
      return numberOf(value);
    case 'integer':
      return integerOf(value);
    case 'boolean':
      return value === true || value === 'true' ? true : value === false || value === 'false' ? false : null;
  }
}

function integerOf(value: unknown): bigint | null {
  const whole = typeof value === 'string' && /^\s*-?\d+\s*$/.test(value) ? BigInt(value.trim()) : value;
  const integer = typeof whole === 'number' && Number.isInteger(whole) ? BigInt(whole) : whole;
  return typeof integer === 'bigint' && BigInt.asIntN(64, integer) === integer ? integer : null;
}
