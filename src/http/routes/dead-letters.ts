import type { Request } from 'express';
import { isStorable } from '../../events/topic';
import { Problem } from '../problem';
import { queryReader } from '../query';
import { pathParameter, type Route } from '../route';
import type { HttpServices } from '../services';

const listQuery = queryReader('/v1/dead-letters', 'get', 'listDeadLetters');

export function deadLetterRoutes({ deadLetters }: HttpServices): Route[] {
  return [
    {
      method: 'get',
      path: '/v1/dead-letters',
      async handle(req, res) {
        const { after = null, limit = 100 } = listQuery(req);
        res.json(await deadLetters.list({ after, limit }));
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
        if (!(await deadLetters.retry(letterId(req)))) throw absent();
        res.status(202).json({ accepted: 1 });
      },
    },
  ];
}

/** An id with U+0000 can't be one; PostgreSQL would choke on it. */
function letterId(req: Request): string {
  const id = pathParameter(req, 'id');
  if (!isStorable(id)) throw absent();
  return id;
}

function absent(): Problem {
  return new Problem('not-found', 'There is no dead letter with this id.');
}
