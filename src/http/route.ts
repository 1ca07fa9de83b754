import type { Express, Request, Response } from 'express';
import { contract } from '../contract/contract';
import { hasBody } from '../door/body';
import { Problem, validationProblem } from '../door/problem';
import { operationPointer, queryReaderOf } from './query';

/** One operation of openapi.yaml. `path` is written as express wants it. */
export interface Route {
  readonly method: 'get' | 'post' | 'put' | 'delete';
  readonly path: string;
  handle(req: Request, res: Response): void | Promise<void>;
}

/**
 * Registers the routes. Another method on one of the paths is answered 405 with the allowed methods. Paths without
 * parameters come first, because a parameter would match them.
 */
export function register(app: Express, routes: readonly Route[]): void {
  const isParameter = (path: string): number => (/[:*]/.test(path) ? 1 : 0);
  const paths = [...new Set(routes.map(({ path }) => path))].sort((a, b) => isParameter(a) - isParameter(b));
  for (const path of paths) {
    const ofPath = routes.filter((route) => route.path === path);
    const chain = app.route(path);
    for (const route of ofPath) {
      const check = path.startsWith('/v1/') ? checkOf(route) : () => undefined;
      chain[route.method]((req, res) => {
        check(req);
        return route.handle(req, res);
      });
    }
    const allow = ofPath.flatMap(({ method }) => (method === 'get' ? ['GET', 'HEAD'] : [method.toUpperCase()])).join(', ');
    chain.all((req) => {
      throw methodNotAllowed(req.method, allow);
    });
  }
}

export function methodNotAllowed(method: string, allow: string): Problem {
  return new Problem('method-not-allowed', `${method} is not allowed; allowed: ${allow}`, { headers: { Allow: allow } });
}

/**
 * Creates a check that rejects a query parameter or a body that the operation does not have. Example: without it
 * `DELETE /v1/dead-letters?id=42` would delete all dead letters.
 * @throws Problem 400
 */
function checkOf({ method, path }: Route): (req: Request) => void {
  const documented = path.replace(/[:*](\w+)/g, '{$1}');
  const readQuery = queryReaderOf(documented, method);
  const takesBody = method === 'get' || contract.find(`${operationPointer(documented, method)}/requestBody`) !== undefined;
  return (req) => {
    readQuery(req);
    if (!takesBody && hasBody(req)) throw validationProblem([{ path: '', message: 'must be absent: this request takes no body' }]);
  };
}

/** A decoded parameter of the path. A parameter that is written `*name` may have slashes. */
export function pathParameter(req: Request, name: string): string {
  const value = (req.params as Readonly<Record<string, string | string[] | undefined>>)[name];
  return Array.isArray(value) ? value.join('/') : (value ?? '');
}
