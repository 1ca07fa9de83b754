import type { Express, Request, Response } from 'express';
import { Problem } from '../door/problem';

/** One operation of openapi.yaml; `path` in express's notation. */
export interface Route {
  readonly method: 'get' | 'post' | 'put' | 'delete';
  readonly path: string;
  handle(req: Request, res: Response): void | Promise<void>;
}

/** Registers the routes, and for each path a 405 that names its methods. A literal path comes before a parameter that would match it. */
export function register(app: Express, routes: readonly Route[]): void {
  const isParameter = (path: string): number => (/[:*]/.test(path) ? 1 : 0);
  const paths = [...new Set(routes.map(({ path }) => path))].sort((a, b) => isParameter(a) - isParameter(b));
  for (const path of paths) {
    const ofPath = routes.filter((route) => route.path === path);
    const chain = app.route(path);
    for (const { method, handle } of ofPath) chain[method]((req, res) => handle(req, res));
    const allow = ofPath.flatMap(({ method }) => (method === 'get' ? ['GET', 'HEAD'] : [method.toUpperCase()])).join(', ');
    chain.all((req) => {
      throw new Problem('method-not-allowed', `${req.method} is not among ${allow}.`, { headers: { Allow: allow } });
    });
  }
}

/** A parameter of the path, decoded; that of a `*name` path may have slashes. */
export function pathParameter(req: Request, name: string): string {
  const value = (req.params as Readonly<Record<string, string | string[] | undefined>>)[name];
  return Array.isArray(value) ? value.join('/') : (value ?? '');
}
