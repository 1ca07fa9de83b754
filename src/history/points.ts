import { isUtf8 } from 'node:buffer';
import { RefusedError } from '../base/errors';
import type { Message } from '../mqtt/message';
import type { Expression, Placeholder, Step } from './expression';
import { timeOf, type MessageTime } from './shared/time';

/**
 * null if missing. A Buffer is a payload that is not text. A bigint is always whole, unlike a number of a JSON payload.
 */
export type Value = string | number | bigint | boolean | Buffer | null;

/** A value, or the list that "$0" makes. */
type Tree = Value | readonly Tree[];

/** A message as templates see it. Its payload is parsed once, when a template first needs it. */
export class Source {
  readonly time: MessageTime;
  private parsed: { readonly json: unknown } | null = null;

  constructor(readonly message: Message) {
    this.time = timeOf(message);
  }

  /** undefined if the payload is not JSON. */
  get json(): unknown {
    return (this.parsed ??= { json: parseJson(this.message.payload) }).json;
  }

  get isJson(): boolean {
    return this.json !== undefined;
  }
}

/**
 * The values of the expressions, once for each point. "$0" makes as many points as the array has elements. Several "$0"
 * at the same depth go through their arrays together, by index. A value without "$0" is the same in all points.
 */
export function* rows(source: Source, expressions: readonly Expression[]): Generator<Value[]> {
  yield* zip(expressions.map((expression) => evaluate(source, expression)));
}

function* zip(trees: readonly Tree[]): Generator<Value[]> {
  const lists = trees.filter((tree) => Array.isArray(tree));
  if (lists.length === 0) {
    yield trees as Value[];
    return;
  }
  const length = lists.reduce((longest, list) => Math.max(longest, list.length), 0);
  for (let i = 0; i < length; i++) yield* zip(trees.map((tree) => (Array.isArray(tree) ? ((tree as readonly Tree[])[i] ?? null) : tree)));
}

function evaluate(source: Source, expression: Expression): Tree {
  switch (expression.kind) {
    case 'constant':
      return expression.value;
    case 'placeholder':
      return placeholder(source, expression.name);
    case 'path':
      return follow(source.json, expression.steps);
  }
}

function placeholder({ message, time }: Source, name: Placeholder): Value {
  switch (name) {
    case '$id':
      return message.id;
    case '$clientid':
      return message.clientid;
    case '$username':
      return message.username;
    case '$peerhost':
      // The events that the server receives do not contain it.
      return null;
    case '$qos':
      return BigInt(message.qos);
    case '$topic':
      return message.topic;
    case '$payload':
      return isUtf8(message.payload) ? message.payload.toString() : message.payload;
    case '$payload_base64':
      return isUtf8(message.payload) ? null : message.payload.toString('base64');
    case '$timestamp':
      return time.time;
  }
}

function follow(json: unknown, [step, ...rest]: readonly Step[]): Tree {
  if (step === undefined) return toValue(json);
  if ('key' in step) return isObject(json) && Object.hasOwn(json, step.key) ? follow(json[step.key], rest) : null;
  if (!Array.isArray(json)) return null;
  if ('nth' in step) return step.nth <= json.length ? follow(json[step.nth - 1], rest) : null;
  return json.map((element) => follow(element, rest));
}

function isObject(json: unknown): json is Record<string, unknown> {
  return typeof json === 'object' && json !== null && !Array.isArray(json);
}

/** Objects and arrays become their JSON text. */
function toValue(json: unknown): Value {
  if (json === undefined || json === null) return null;
  if (typeof json !== 'object') return json as string | number | boolean;
  try {
    return JSON.stringify(json);
  } catch {
    throw new RefusedError('the payload is nested too deeply');
  }
}

function parseJson(payload: Buffer): unknown {
  if (!isUtf8(payload)) return undefined;
  try {
    return JSON.parse(payload.toString()) as unknown;
  } catch {
    return undefined;
  }
}

/** The text for tags and texts; '' if there is none. */
export function textOf(value: Value): string {
  return value === null || Buffer.isBuffer(value) ? '' : String(value);
}

/** Quotes only the beginning of a value, because payloads may be long and come from any client. */
export function quote(value: Value): string {
  const text = textOf(value);
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}...` : text);
}
