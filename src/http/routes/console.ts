import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Response } from 'express';
import { Problem } from '../../door/problem';
import { pathParameter, type Route } from '../route';

/**
 * The files that `npm run build` makes of src/console. The path is right from src/http/routes and from
 * dist/http/routes.
 */
const BUILT = join(__dirname, '..', '..', '..', 'dist', 'console');
const PAGE = 'index.html';

const HEADERS = {
  'Content-Security-Policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "font-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; '),
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
};

/** The names of all files but the page contain a hash of their content, so these files never change. */
const CACHING = { page: 'no-cache', file: 'public, max-age=31536000, immutable' };

const NOT_BUILT = 'The console is not built. Run "npm run build" in the folder of emqx-offline-store, and then load this page again.\n';

/** The files of the console need no token, because they contain no data. */
export function consoleRoutes(directory: string = BUILT): Route[] {
  /** Only files of this list are sent, so that no path leads out of the folder. */
  const files = (): Promise<string[]> => readdir(directory).catch(() => []);
  const send = (res: Response, file: string, caching: keyof typeof CACHING): void =>
    res.set({ ...HEADERS, 'Cache-Control': CACHING[caching] }).sendFile(file, { root: directory });

  return [
    {
      method: 'get',
      path: '/console',
      async handle(_req, res) {
        if ((await files()).includes(PAGE)) send(res, PAGE, 'page');
        else res.status(404).set(HEADERS).type('text').send(NOT_BUILT);
      },
    },
    {
      method: 'get',
      path: '/console/:file',
      async handle(req, res) {
        const file = pathParameter(req, 'file');
        if (file === PAGE || !(await files()).includes(file)) throw new Problem('not-found', 'The console has no such file.');
        send(res, file, 'file');
      },
    },
  ];
}
