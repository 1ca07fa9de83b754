import type { FieldChange } from './installer';
import { isObject } from './v5-answer';

export type Json = Record<string, unknown>;

/** Paths of keys in a resource, for example `resource_opts.request_ttl`. */
export type Paths = readonly string[];

/** Headers whose values EMQX shows as ******. */
const SECRET = /(^|\.)(proxy-)?authorization$/i;

/** The fields at these paths whose values differ. */
export function differences(present: Json | null, wanted: Json, paths: Paths): FieldChange[] {
  return paths.flatMap((path) => {
    const [from, to] = [shown(path, present === null ? undefined : valueAt(present, path)), shown(path, valueAt(wanted, path))];
    return from === to ? [] : [{ path, from, to }];
  });
}

/** `over` merged into `under`, level by level. */
export function merged(under: Json, over: Json): Json {
  const result: Json = { ...under };
  for (const [key, value] of Object.entries(over)) {
    const below = result[key];
    result[key] = isObject(below) && isObject(value) ? merged(below, value) : value;
  }
  return result;
}

/** The part of the object at these paths and below them. */
export function picked(json: Json, paths: Paths): Json {
  const result: Json = {};
  for (const path of paths) {
    const value = valueAt(json, path);
    if (value !== undefined) place(result, path.split('.'), value);
  }
  return result;
}

export function valueAt(json: Json, path: string): unknown {
  return path.split('.').reduce<unknown>((value, key) => (isObject(value) ? value[key] : undefined), json);
}

function place(json: Json, [key = '', ...rest]: readonly string[], value: unknown): void {
  if (rest.length === 0) json[key] = value;
  else place((json[key] ??= {}) as Json, rest, value);
}

function shown(path: string, value: unknown): string | null {
  if (value === undefined || value === null) return null;
  if (SECRET.test(path)) return '(hidden)';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
