import { readFileSync } from 'node:fs';
import { parseDocument } from 'yaml';
import { errorText, SettingError } from '../base/errors';
import { plainFilterProblem } from '../mqtt/validity';
import { matches } from '../mqtt/topic';
import { nameOf } from './expression';
import { SETTING } from './shared/settings';

export type JsonObject = Readonly<Record<string, unknown>>;

/**
 * Compiles a template of the sink's own kind.
 * @throws RangeError that names the key.
 */
export type Compile<T> = (point: JsonObject) => T;

export interface Entry<T> {
  /** null for every topic, including those that begin with $, which no wildcard in the first level matches. */
  readonly filter: string | null;
  readonly template: T;
}

/** The templates of points, by topic filter. */
export class Templates<T> {
  constructor(private readonly entries: readonly Entry<T>[]) {}

  /**
   * The entries of all filters that match, in the file's order. If there are none, the topic is not written to the
   * history.
   */
  of(topic: string): Entry<T>[] {
    return this.entries.filter(({ filter }) => filter === null || matches(filter, topic));
  }

  all(): T[] {
    return this.entries.map(({ template }) => template);
  }
}

/** Templates for sinks that need no file. */
export function everyTopic<T>(template: T): Templates<T> {
  return new Templates([{ filter: null, template }]);
}

/**
 * Reads a template file in the form of EMQX's plugins: {topic filter: point, ...}, or a list of points for a filter.
 * @throws SettingError that names the file, the filter and the key
 */
export function readTemplates<T>(file: string, parse: (text: string) => Templates<T>): Templates<T> {
  try {
    return parse(readFileSync(file, 'utf8'));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (!(error instanceof RangeError) && code === undefined) throw error;
    throw new SettingError(SETTING, `templates=${file}: ${code === undefined ? errorText(error) : `can't be read (${code})`}`);
  }
}

/** @throws RangeError that names the filter and the key */
export function parseTemplates<T>(text: string, compile: Compile<T>): Templates<T> {
  const entries = Object.entries(parseObject(text)).flatMap(([filter, points]) => {
    const problem = plainFilterProblem(filter);
    if (problem !== null) throw new RangeError(`"${filter}" is no topic filter: it ${problem}`);
    const list = Array.isArray(points) ? points : [points];
    if (list.length === 0) throw new RangeError(`"${filter}": is an empty list`);
    return list.map((point: unknown, i) => ({
      filter,
      template: compilePoint(point, Array.isArray(points) ? `"${filter}"[${i}]` : `"${filter}"`, compile),
    }));
  });
  if (entries.length === 0) throw new RangeError('has no template: nothing would be stored');
  return new Templates(entries);
}

function compilePoint<T>(point: unknown, at: string, compile: Compile<T>): T {
  try {
    return compile(asObject(point, 'the template'));
  } catch (error) {
    throw error instanceof RangeError ? new RangeError(`${at}: ${error.message}`) : error;
  }
}

function parseObject(text: string): JsonObject {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new RangeError(`is not JSON (${errorText(error)})`);
  }
  // JSON.parse would silently keep the last of two templates for one filter. JSON is also YAML, and the YAML parser
  // reports the duplicate.
  const twice = parseDocument(text).errors.find(({ code }) => code === 'DUPLICATE_KEY');
  if (twice !== undefined)
    throw new RangeError(
      `line ${twice.linePos?.[0].line}: this key is there already; several templates for one filter are a list: [{...}, {...}]`,
    );
  return asObject(json, 'the file');
}

/** @throws RangeError */
export function asObject(json: unknown, at: string): JsonObject {
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new RangeError(`${at}: is ${nameOf(json)}, not an object {...}`);
  return json as JsonObject;
}

/** @throws RangeError if a key is missing or unknown */
export function checkKeys(object: JsonObject, required: readonly string[], optional: readonly string[]): void {
  const missing = required.find((key) => !(key in object));
  if (missing !== undefined) throw new RangeError(`${missing}: is missing`);
  const known = [...required, ...optional];
  const unknown = Object.keys(object).find((key) => !known.includes(key));
  if (unknown !== undefined) throw new RangeError(`${unknown}: is unknown; known are ${known.join(', ')}`);
}
