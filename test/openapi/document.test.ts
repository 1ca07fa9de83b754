import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Express } from 'express';
import { contract, type SchemaName } from '../../src/contract/contract';
import type { components } from '../../src/contract/openapi';
import { Problem, problemBody, type ProblemKind } from '../../src/door/problem';
import { readEvent, readEvents } from '../../src/events';
import { HANDLED, KNOWN_NAMES } from '../../src/events/names';
import { FIXTURES } from '../events/bodies';
import { Fakes } from '../http/fakes';

interface Operation {
  readonly operationId?: string;
  readonly summary?: string;
  readonly security?: unknown[];
  readonly requestBody?: { content: Content };
  readonly responses: Record<string, { $ref?: string; content?: Content }>;
}

type Content = Record<string, { schema: object; example?: unknown; examples?: Record<string, { value: unknown }> }>;

const METHODS = ['get', 'put', 'post', 'delete', 'patch', 'head', 'options'];

const OPERATIONS = Object.entries(contract.find('/paths') as Record<string, Record<string, Operation>>).flatMap(([path, item]) =>
  Object.entries(item)
    .filter(([method]) => METHODS.includes(method))
    .map(([method, operation]) => ({ name: `${method.toUpperCase()} ${path}`, path, method, operation })),
);

test('every $ref of openapi.yaml has a target', () => {
  const refs = [...contract.text.matchAll(/\$ref: '#([^']+)'/g)].map((match) => match[1] ?? '');
  expect(refs.length).toBeGreaterThan(100);
  expect(refs.filter((ref) => contract.find(ref) === undefined)).toEqual([]);
});

test('every component of openapi.yaml is used', () => {
  for (const kind of ['schemas', 'responses', 'parameters', 'headers']) {
    const names = Object.keys(contract.find(`/components/${kind}`) as object);
    expect(names.filter((name) => !contract.text.includes(`'#/components/${kind}/${name}'`))).toEqual([]);
  }
});

test("every schema of openapi.yaml is valid in ajv's strict mode", () => {
  for (const name of Object.keys(contract.find('/components/schemas') as object)) {
    expect(contract.validator(`#/components/schemas/${name}`)).toBeInstanceOf(Function);
  }
  for (const { operation } of OPERATIONS) {
    for (const part of [operation.requestBody, ...Object.values(operation.responses)]) {
      for (const { schema } of Object.values(part?.content ?? {})) expect(contract.compile(schema)).toBeInstanceOf(Function);
    }
  }
});

test.each(OPERATIONS.map(({ name, operation }) => [name, operation] as const))(
  '%s has an operationId and documents its errors',
  (_, operation) => {
    expect(operation.operationId).toMatch(/^[a-z][A-Za-z]+$/);
    const problems = Object.values(operation.responses).filter(({ $ref }) => {
      const response = $ref === undefined ? null : (contract.find($ref.slice(1)) as { content?: object });
      return response?.content !== undefined && 'application/problem+json' in response.content;
    });
    expect(problems.length).toBeGreaterThan(0);
    expect(Object.keys(operation.responses).some((status) => status.startsWith('2'))).toBe(true);
  },
);

test('operationIds are unique', () => {
  const ids = OPERATIONS.map(({ operation }) => operation.operationId);
  expect(new Set(ids).size).toBe(ids.length);
});

test('openapi.yaml states the token of every operation', () => {
  for (const { path, method, operation } of OPERATIONS) {
    const isEvents = path.startsWith('/v1/events');
    const ofApi = method === 'get' ? [{ adminToken: [] }, { readToken: [] }] : [{ adminToken: [] }];
    expect([path, operation.security]).toEqual([path, isEvents ? [{ ingestToken: [] }] : path.startsWith('/v1/') ? ofApi : []]);
    if (isEvents) expect(Object.keys(operation.responses)).toEqual(['202', '400', '401', '403', '405', '413', '415', '429', '503']);
  }
});

test('every route is in openapi.yaml, and every operation has a route', () => {
  // The door answers these two in front of express (src/door/door.ts).
  const doors = ['POST /v1/events', 'POST /v1/events/{event}'];
  expect([...routesOf(new Fakes().api()), ...doors].sort()).toEqual(OPERATIONS.map(({ name }) => name).sort());
});

function routesOf(app: Express): string[] {
  const layers = app.router.stack as unknown as { route?: { path: string; stack: { method?: string }[] } }[];
  return layers
    .flatMap(({ route }) =>
      (route?.stack ?? [])
        .filter(({ method }) => method !== undefined)
        .map(({ method = '' }) => `${method.toUpperCase()} ${(route?.path ?? '').replace(/[:*](\w+)/g, '{$1}')}`),
    )
    .sort();
}

describe('events', () => {
  test('each handled event has a schema and a known name', () => {
    for (const [name, schema] of Object.entries(HANDLED)) {
      expect(KNOWN_NAMES).toContain(name);
      expect(contract.find(`/components/schemas/${schema}/properties/event/enum`)).toEqual([name, 'undefined']);
    }
    const listed = (contract.find('/components/schemas/Event/anyOf') as { $ref: string }[]).map(({ $ref }) => $ref.split('/').at(-1));
    expect(listed).toEqual([...Object.values(HANDLED), 'OtherEvent']);
  });

  test.each(FIXTURES.map((each) => [each.event, each.case, each.body] as const))(
    'the recorded event %s (%s) matches its schema',
    (event, _, body) => {
      const schema: SchemaName = HANDLED[event as keyof typeof HANDLED];
      expect(contract.validator(`#/components/schemas/${schema}`)(body)).toEqual([]);
      expect(contract.validator('#/components/schemas/Event')(body)).toEqual([]);
    },
  );
});

test('every operation documents 405 and has a title', () => {
  for (const { name, operation } of OPERATIONS) {
    expect([name, Object.keys(operation.responses)]).toEqual([name, expect.arrayContaining(['405'])]);
    expect([name, operation.summary]).toEqual([name, expect.stringMatching(/^[A-Z].*[^.]$/)]);
  }
});

/** Where the document shows a body: of requests, of answers, and of shared answers. */
const BODIES: [string, Content][] = [
  ...OPERATIONS.flatMap(({ name, operation: { requestBody, responses } }) => [
    ...(requestBody === undefined ? [] : [[`${name} request`, requestBody.content] as [string, Content]]),
    ...Object.entries(responses).map(([status, { content = {} }]): [string, Content] => [`${name} ${status}`, content]),
  ]),
  ...Object.entries(contract.find('/components/responses') as Record<string, { content: Content }>).map(
    ([name, { content }]): [string, Content] => [name, content],
  ),
];

test.each(BODIES)('%s has an example that matches its schema', (_, content) => {
  for (const { schema, example, examples = {} } of Object.values(content)) {
    const values = [...(example === undefined ? [] : [example]), ...Object.values(examples).map(({ value }) => value)];
    expect(values.length).toBeGreaterThan(0);
    for (const value of values) expect(contract.compile(schema)(value)).toEqual([]);
  }
});

test('the example events are accepted by the server', () => {
  const { one, several } =
    (contract.find('/paths/~1v1~1events/post/requestBody/content/application~1json') as Content[string]).examples ?? {};
  expect(readEvent(one?.value).event.type).toBe('publish');
  expect(readEvents(several?.value as unknown[]).map(({ event }) => event.type)).toEqual(['subscribed', 'acked']);
});

test("the example errors have the server's titles", () => {
  const responses = contract.find('/components/responses') as Record<string, { content: Content }>;
  const examples = Object.values(responses).flatMap(({ content }) => {
    const example = content['application/problem+json']?.example as components['schemas']['Problem'] | undefined;
    return example === undefined ? [] : [example];
  });
  expect(examples.length).toBeGreaterThan(10);
  for (const { type, title, status } of examples) {
    const problem = new Problem(type.replace('/problems/', '') as ProblemKind, '');
    expect([title, status]).toEqual([(JSON.parse(problemBody(problem)) as { title: string }).title, problem.status]);
  }
});

test('request bodies other than events allow no unknown field', () => {
  const strict = OPERATIONS.flatMap(({ path, operation: { requestBody } }) =>
    requestBody === undefined || path.startsWith('/v1/events')
      ? []
      : Object.values(requestBody.content).map(({ schema }) => schema as { $ref: string }),
  );
  expect(strict.length).toBeGreaterThan(3);
  for (const { $ref } of strict) expect([$ref, contract.find(`${$ref.slice(1)}/additionalProperties`)]).toEqual([$ref, false]);
});

test('openapi.yaml has the version of package.json', () => {
  const { version } = JSON.parse(readFileSync(join(__dirname, '..', '..', 'package.json'), 'utf8')) as { version: string };
  expect(contract.find('/info/version')).toBe(version);
});
