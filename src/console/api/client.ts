import type { paths } from '../../contract/openapi';
import { ApiProblem, problemOf } from './problem';
import { token } from '../state/token';

type Method = 'get' | 'post' | 'put' | 'delete';
type Operation<P extends keyof paths, M extends Method> = NonNullable<paths[P][M]>;
/** The paths that have an operation with this method. */
export type PathWith<M extends Method> = {
  [P in keyof paths]: Operation<P, M> extends { responses: object } ? P : never;
}[keyof paths];

type Json<R> = R extends { content: { 'application/json': infer Body } } ? Body : undefined;
type Good<R> = { [S in keyof R & (200 | 202 | 204)]: Json<R[S]> }[keyof R & (200 | 202 | 204)];
/** The body of a successful answer. */
export type Answer<P extends keyof paths, M extends Method = 'get'> = Operation<P, M> extends { responses: infer R } ? Good<R> : never;

type PathParameters<O> = O extends { parameters: { path: infer T extends object } } ? { path: T } : { path?: never };
/** Undefined and empty values are left out of the query. */
type Query<O> = O extends { parameters: { query?: infer T } } ? { query?: { [K in keyof T]: T[K] | undefined } } : { query?: never };
type Body<O> = O extends { requestBody?: { content: { 'application/json': infer T } } } ? { body?: T } : { body?: never };
export type Options<O> = PathParameters<O> & Query<O> & Body<O> & { signal?: AbortSignal | undefined };

interface AnyOptions {
  readonly path?: Readonly<Record<string, unknown>>;
  readonly query?: Readonly<Record<string, unknown>>;
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Sends one request to the server that the console came from.
 * @throws ApiProblem with the error of the server or of the connection
 */
export async function call<M extends Method, P extends PathWith<M>>(
  method: M,
  path: P,
  options: Options<Operation<P, M>> | Record<string, never> = {},
): Promise<Answer<P, M>> {
  const answer = await send(method, path, options as AnyOptions);
  if (!answer.ok) throw await problemOf(answer);
  return (answer.status === 204 ? undefined : await answer.json()) as Answer<P, M>;
}

/** Gets an answer that is not JSON as a file. */
export async function download(path: PathWith<'get'>): Promise<Blob> {
  const answer = await send('get', path, {});
  if (!answer.ok) throw await problemOf(answer);
  return answer.blob();
}

/** /readyz answers 503 with the same body when a dependency is away. It needs no token. */
export async function readiness(signal: AbortSignal): Promise<Answer<'/readyz'>> {
  const answer = await send('get', '/readyz', { signal });
  if (!answer.ok && answer.status !== 503) throw await problemOf(answer);
  return (await answer.json()) as Answer<'/readyz'>;
}

async function send(method: Method, path: string, { path: parameters = {}, query = {}, body, signal }: AnyOptions): Promise<Response> {
  const url = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(parameters[name])));
  const bearer = token.get();
  const init: RequestInit = {
    method: method.toUpperCase(),
    headers: {
      ...(bearer !== null && { Authorization: `Bearer ${bearer}` }),
      ...(body !== undefined && { 'Content-Type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
    ...(signal !== undefined && { signal }),
  };
  try {
    return await fetch(`${url}${queryText(query)}`, init);
  } catch (error) {
    if (signal?.aborted === true) throw error;
    throw new ApiProblem({
      type: 'about:blank',
      title: 'The server cannot be reached',
      status: 0,
      detail: 'The connection to the server failed. The console tries again by itself.',
    });
  }
}

/** A list becomes one parameter for each of its entries. Undefined and empty values are left out. */
function queryText(query: Readonly<Record<string, unknown>>): string {
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value])
      .filter((each) => each !== undefined && each !== '')
      .map((each) => `${name}=${encodeURIComponent(String(each))}`),
  );
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
}
