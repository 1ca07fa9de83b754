import type { Request } from 'express';
import type { Flaw } from '../contract/flaw';
import { contract } from '../contract/contract';
import type { operations } from '../contract/openapi';
import { Problem, validationProblem } from '../door/problem';

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
  readonly schema: { readonly type?: string; readonly default?: unknown };
}

type QueryOf<Id extends keyof operations> = NonNullable<operations[Id]['parameters']['query']>;

/**
 * Creates a reader for the query of one operation of openapi.yaml. It rejects parameters that the operation does not
 * have.
 */
export function queryReader<Id extends keyof operations>(path: string, method: string, _id: Id): (req: Request) => QueryOf<Id> {
  return queryReaderOf(path, method) as (req: Request) => QueryOf<Id>;
}

/** The JSON pointer to the operation in openapi.yaml. */
export function operationPointer(path: string, method: string): string {
  return `/paths/${path.replaceAll('/', '~1')}/${method}`;
}

/** Does the same as queryReader where the type of the query is not known. */
export function queryReaderOf(path: string, method: string): (req: Request) => Record<string, unknown> {
  const listed = contract.find(`${operationPointer(path, method)}/parameters`) as (Parameter | { $ref: string })[] | undefined;
  const parameters = (listed ?? [])
    .map((entry) => ('$ref' in entry ? (contract.find(entry.$ref.slice(1)) as Parameter) : entry))
    .filter((parameter) => parameter.in === 'query');
  const lists = new Set(parameters.flatMap(({ name, schema }) => (schema.type === 'array' ? [name] : [])));
  const validate = contract.compile({
    type: 'object',
    additionalProperties: false,
    required: parameters.filter(({ required }) => required).map(({ name }) => name),
    properties: Object.fromEntries(parameters.map(({ name, schema }) => [name, schema])),
  });
  return (req) => {
    const query = parseQuery(req.url, lists);
    for (const { name, schema } of parameters) {
      const text = query[name];
      if (schema.type === 'integer' && typeof text === 'string' && /^-?\d{1,15}$/.test(text)) query[name] = Number(text);
      if (text === undefined && schema.default !== undefined) query[name] = schema.default;
    }
    const flaws = validate(query);
    if (flaws.length > 0) throw validationProblem(flaws.map(({ path: pointer, message }) => flaw(pointer.slice(1), message)));
    return query;
  };
}

/**
 * Reads the query of a URL. A malformed percent-encoding or a repeated name is an error here, while Node's own parser
 * guesses.
 * @param lists the names that may be repeated. Their values are arrays.
 */
export function parseQuery(url: string, lists: ReadonlySet<string> = new Set()): Record<string, unknown> {
  const query = new Map<string, string | string[]>();
  const start = url.indexOf('?');
  for (const pair of start < 0 ? [] : url.slice(start + 1).split('&')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const name = decode(equals < 0 ? pair : pair.slice(0, equals));
    const value = equals < 0 ? '' : decode(pair.slice(equals + 1));
    const before = query.get(name);
    if (before !== undefined && !Array.isArray(before)) throw validationProblem([flaw(name, 'is given twice')]);
    query.set(name, lists.has(name) ? [...(before ?? []), value] : value);
  }
  return Object.fromEntries(query);
}

/**
 * `+` is a space, as forms and URLSearchParams write it. Alone in a topic level it is the wildcard, because people
 * write it so with curl.
 */
function decode(text: string): string {
  try {
    return decodeURIComponent(text.replace(WILDCARD, '%2B').replaceAll('+', ' '));
  } catch {
    throw new Problem('malformed', 'The query has a malformed percent-encoding.');
  }
}

const WILDCARD = /(?<=^|\/|%2F)\+(?=$|\/|%2F)/gi;

function flaw(path: string, message: string): Flaw {
  return { path, message };
}
