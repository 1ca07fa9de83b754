import { once } from 'node:events';
import type { Request, Response } from 'express';
import { isStorable } from '../../mqtt/validity';
import type { AppOptions } from '../options';
import { hasBody, readJson } from '../../door/body';
import { decodePosition, encodePosition } from '../cursor';
import { InvalidEventError } from '../../events';
import { contract } from '../../contract/contract';
import { Problem, validationProblem } from '../../door/problem';
import { queryReader } from '../query';
import { pathParameter, type Route } from '../route';
import type { LetterPosition } from '../../dead-letters/box';
import type { DeadLetters } from '../../dead-letters/letters';
import type { HttpServices } from '../services';

const listQuery = queryReader('/v1/dead-letters', 'get', 'listDeadLetters');

const validate = contract.compile({
  type: 'object',
  required: ['event'],
  additionalProperties: false,
  properties: { event: { type: 'object' } },
});

/** How many dead letters the export reads at once. */
const EXPORT_PAGE = 100;

export function deadLetterRoutes({ deadLetters }: HttpServices, { bodyLimit }: AppOptions): Route[] {
  return [
    {
      method: 'get',
      path: '/v1/dead-letters',
      async handle(req, res) {
        const { after, limit = 100 } = listQuery(req);
        const { letters, next } = await deadLetters.list({ after: after === undefined ? null : decodePosition(after), limit });
        res.json({ letters, next: next === null ? null : encodePosition(next) });
      },
    },
    {
      method: 'delete',
      path: '/v1/dead-letters',
      async handle(_req, res) {
        res.json({ removed: await deadLetters.removeAll() });
      },
    },
    {
      method: 'post',
      path: '/v1/dead-letters/retry',
      async handle(_req, res) {
        res.status(202).json({ accepted: await deadLetters.retryAll() });
      },
    },
    {
      method: 'get',
      path: '/v1/dead-letters/export',
      handle: (_req, res) => exportAll(deadLetters, res),
    },
    {
      method: 'get',
      path: '/v1/dead-letters/:id',
      async handle(req, res) {
        const letter = await deadLetters.get(letterId(req));
        if (letter === null) throw absent();
        res.json(letter);
      },
    },
    {
      method: 'delete',
      path: '/v1/dead-letters/:id',
      async handle(req, res) {
        if (!(await deadLetters.remove(letterId(req)))) throw absent();
        res.status(204).end();
      },
    },
    {
      method: 'post',
      path: '/v1/dead-letters/:id/retry',
      async handle(req, res) {
        const edited = hasBody(req) ? eventOf(await readJson(req, bodyLimit)) : undefined;
        if (!(await withinEvent(() => deadLetters.retry(letterId(req), edited)))) throw absent();
        res.status(202).json({ accepted: 1 });
      },
    },
  ];
}

/**
 * Writes one dead letter in each line, oldest first. If a read fails after the first page, the connection is closed, so
 * that an incomplete file does not look complete.
 */
async function exportAll(deadLetters: Pick<DeadLetters, 'list'>, res: Response): Promise<void> {
  for (let after: LetterPosition | null = null; ;) {
    const { letters, next } = await deadLetters.list({ after, limit: EXPORT_PAGE });
    if (!res.headersSent)
      res.type('application/x-ndjson').set('Content-Disposition', 'attachment; filename="dead-letters.ndjson"').flushHeaders();
    for (const letter of letters) if (!res.write(`${JSON.stringify(letter)}\n`)) await drained(res);
    if (next === null || res.destroyed) break;
    after = next;
  }
  res.end();
}

/** Resolves when the client has read enough, or has closed the connection. */
async function drained(res: Response): Promise<void> {
  if (res.destroyed) return;
  const end = new AbortController();
  try {
    await Promise.race([once(res, 'drain', { signal: end.signal }), once(res, 'close', { signal: end.signal })]);
  } finally {
    end.abort();
  }
}

/**
 * Checks the body, but not the fields of the event. Those are checked when the event is retried.
 * @throws Problem 400
 */
function eventOf(body: unknown): unknown {
  const flaws = validate(body);
  if (flaws.length > 0) throw validationProblem(flaws);
  return (body as { event: unknown }).event;
}

/** Turns the paths of errors in the edited event into paths in the body. */
async function withinEvent<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof InvalidEventError)) throw error;
    throw validationProblem(error.flaws.map(({ path, message }) => ({ path: `/event${path}`, message })));
  }
}

/** An id with U+0000 is rejected here, because PostgreSQL would answer it with an error. */
function letterId(req: Request): string {
  const id = pathParameter(req, 'id');
  if (!isStorable(id)) throw absent();
  return id;
}

function absent(): Problem {
  return new Problem('not-found', 'There is no dead letter with this id.');
}
