import * as fc from 'fast-check';
import { contract } from '../../src/contract/contract';
import { HANDLED, KNOWN_NAMES } from '../../src/events/names';
import { FIXTURES } from '../events/bodies';
import { asTopic, HOSTILE } from '../support/hostile';

/** One request to POST /v1/events. */
export interface Case {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

type Json = unknown;
interface Schema {
  readonly $ref?: string;
  readonly enum?: readonly Json[];
  readonly const?: Json;
  readonly type?: string;
  readonly format?: string;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly anyOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly then?: Schema;
  readonly properties?: Readonly<Record<string, Schema | true>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
}

const text = (): fc.Arbitrary<string> =>
  fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...HOSTILE) }, fc.string({ unit: 'grapheme' }), fc.string({ unit: 'binary' }));
const topic = (): fc.Arbitrary<string> => text().map((each) => asTopic(each).replaceAll('\0', '') || 't');
const filter = fc.oneof(
  topic(),
  fc.constantFrom('#', '+', 't/#', '+/+', '$share/g/t/#', '$queue/t', '$share/g', 'a#', '$offline/c/#', '$SYS/#'),
);
const base64 = fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes).toString('base64'));
const FORMATS: Readonly<Record<string, fc.Arbitrary<Json>>> = {
  'mqtt-string': text(),
  'mqtt-topic': topic(),
  'mqtt-topic-filter': filter,
  'mqtt-plain-filter': filter,
  storable: text(),
  base64,
};
/** Anything, other things than the schema has too. */
const anything = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  text(),
  fc.constantFrom<Json>('undefined', null, '', -1, 1e308, 2 ** 53, [], {}, [[[]]], { $gt: '' }, { toString: 1 }, true),
  fc.integer({ min: 30, max: 40 }).map((depth) => JSON.parse('['.repeat(depth) + ']'.repeat(depth)) as Json),
);

/** What the schema of openapi.yaml allows; properties that it does not ask for are there or not. */
export function fromSchema(schema: Schema | true): fc.Arbitrary<Json> {
  if (schema === true) return anything;
  if (schema.$ref !== undefined) return fromSchema(contract.find(schema.$ref.slice(1)) as Schema);
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  if (schema.properties !== undefined || schema.allOf !== undefined || schema.then !== undefined) return object(schema);
  if (schema.anyOf !== undefined) return fc.oneof(...schema.anyOf.map(fromSchema));
  if (schema.format !== undefined) return FORMATS[schema.format] ?? text();
  switch (schema.type) {
    case 'integer':
      return fc.integer({ min: schema.minimum ?? -3, max: Math.min(schema.maximum ?? 5, Number.MAX_SAFE_INTEGER) });
    case 'boolean':
      return fc.boolean();
    case 'array':
      return fc.array(fromSchema(schema.items ?? true), { maxLength: 4 });
    case 'string':
      return schema.pattern?.startsWith('^[0-9A-Za-z_-]') === true ? fc.stringMatching(/^[0-9A-F]{32}$/) : text();
    case 'object':
      return fc.dictionary(text(), anything, { maxKeys: 4 });
    case undefined:
    default:
      return anything;
  }
}

function object({ properties = {}, required = [], allOf = [], anyOf = [], then }: Schema): fc.Arbitrary<Json> {
  const own = fc.record(Object.fromEntries(Object.entries(properties).map(([name, each]) => [name, fromSchema(each)])), {
    requiredKeys: [...required],
  });
  const parts = [
    own,
    ...[...allOf, ...(then === undefined ? [] : [then])].map(fromSchema),
    ...(anyOf.length > 0 ? [fc.oneof(...anyOf.map(fromSchema))] : []),
  ];
  return fc.tuple(...parts).map((all) => Object.assign({}, ...all) as Json);
}

const named = fc.oneof(
  ...Object.entries(HANDLED).map(([event, schema]) =>
    fromSchema(contract.find(`/components/schemas/${schema}`) as Schema).map(
      (body) => ({ ...(body as object), event, timestamp: 1_795_228_477_781 }) as Json,
    ),
  ),
);
const fixtures = fc.constantFrom(...FIXTURES.map(({ body }) => body as Json));
const event = fc.oneof({ weight: 3, arbitrary: named }, { weight: 3, arbitrary: fixtures });

type Mutation = (body: Record<string, Json>) => Record<string, Json>;
const anyKey = fc.nat({ max: 40 });
const at = (body: Record<string, Json>, index: number): string =>
  Object.keys(body)[index % Math.max(1, Object.keys(body).length)] ?? 'event';
/** One change of an event. */
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.tuple(anyKey, anything).map(([key, value]): Mutation => (body) => ({ ...body, [at(body, key)]: value })),
  anyKey.map(
    (key): Mutation =>
      (body) =>
        Object.fromEntries(Object.entries(body).filter(([name]) => name !== at(body, key))),
  ),
  fc.tuple(anyKey, anyKey).map(([one, other]): Mutation => (body) => ({ ...body, [at(body, one)]: body[at(body, other)] })),
  fc
    .tuple(fc.oneof(text(), fc.constantFrom('__proto__', 'constructor', 'payload_base64', 'pub_props')), anything)
    .map(([key, value]): Mutation => (body) => ({
      ...body,
      ...(JSON.parse(`{${JSON.stringify(key)}:${JSON.stringify(value)}}`) as object),
    })),
  fc.tuple(text(), anything).map(([key, value]): Mutation => (body) => ({
    ...body,
    pub_props: { 'User-Property': { [key]: value }, 'User-Property-Pairs': [{ key, value }] },
  })),
  fc.constantFrom<Mutation>(
    (body) => ({ ...body, payload: 'x'.repeat(70_000) }),
    (body) => ({ ...body, clientid: '漢'.repeat(22_000), topic: '/'.repeat(65_536) }),
  ),
);
const mutated = fc
  .tuple(
    event,
    fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: fc.array(mutation, { minLength: 1, maxLength: 4 }) }),
  )
  .map(([body, mutations]) => mutations.reduce((each, mutate) => mutate(each), body as Record<string, Json>) as Json);

const json = fc.oneof(
  { weight: 8, arbitrary: mutated },
  { weight: 1, arbitrary: fc.array(event, { maxLength: 8 }) },
  { weight: 1, arbitrary: fc.array(fc.oneof(mutated, anything), { maxLength: 8 }) },
  { weight: 1, arbitrary: anything },
);
/** One change of a text: cut, bytes replaced, put in twice. */
const damage = fc.oneof(
  fc.nat().map((where) => (bytes: Buffer) => bytes.subarray(0, where % (bytes.length + 1))),
  fc.tuple(fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 4 })).map(([where, put]) => (bytes: Buffer) => {
    const index = where % (bytes.length + 1);
    return Buffer.concat([bytes.subarray(0, index), Buffer.from(put), bytes.subarray(index + put.length)]);
  }),
  fc.nat().map((where) => (bytes: Buffer) => Buffer.concat([bytes, bytes.subarray(where % (bytes.length + 1))])),
);
const bytes = fc.oneof(
  { weight: 9, arbitrary: json.map((each) => Buffer.from(JSON.stringify(each) ?? '')) },
  { weight: 1, arbitrary: fc.tuple(json, damage).map(([each, change]) => change(Buffer.from(JSON.stringify(each) ?? ''))) },
);

const path = fc.oneof(
  { weight: 20, arbitrary: fc.constant('/v1/events') },
  { weight: 3, arbitrary: fc.constantFrom(...KNOWN_NAMES, '$bridges/mqtt:a').map((name) => `/v1/events/${name}`) },
  {
    weight: 1,
    arbitrary: text().map((each) => `/v1/events/${encodeURIComponent(each.replace(/\p{Cs}/gu, '')).replace(/^\.+$/, '%2e') || 'x'}`),
  },
  { weight: 1, arbitrary: fc.constantFrom('/v1/events?a=b', '/v1/events/', '/v1/events/%zz', '/v1/events/%00', '/v1/events//') },
);
const JSON_TYPE = { 'content-type': 'application/json' };
const headers = fc.oneof(
  { weight: 30, arbitrary: fc.constant(JSON_TYPE) },
  {
    weight: 1,
    arbitrary: fc.constantFrom<Record<string, string>>(
      {},
      { 'content-type': 'text/plain' },
      { ...JSON_TYPE, 'content-encoding': 'gzip' },
      { ...JSON_TYPE, 'content-encoding': 'zip' },
    ),
  },
);

export const cases: fc.Arbitrary<Case> = fc.record({ path, headers, body: bytes });
