import { contract } from '../../contract/contract';
import { matches } from '../../mqtt/topic';
import type { AppOptions } from '../options';
import { hasBody, readJson } from '../../door/body';
import { browseRetained } from '../browse-retained';
import { decodeCursor, encodeCursor } from '../cursor';
import { messageView } from '../message-view';
import type { components } from '../../contract/openapi';
import { Problem, validationProblem } from '../../door/problem';
import { isRequestId } from '../../lanes/outcomes';
import { queryReader } from '../query';
import { pathParameter, type Route } from '../route';
import type { HttpServices } from '../services';

const listQuery = queryReader('/v1/retained', 'get', 'listRetained');
const validate = contract.validator('#/components/schemas/RestoreRequest');

export function retainedRoutes({ store, retained }: HttpServices, { bodyLimit, now = Date.now }: AppOptions): Route[] {
  return [
    {
      method: 'get',
      path: '/v1/retained',
      async handle(req, res) {
        const { filter = '#', after, limit = 100 } = listQuery(req);
        const from = after === undefined ? '' : decodeCursor(after, (topic) => matches(filter, topic)).topic;
        const { messages, next } = await browseRetained(store, {
          filter,
          after: from,
          limit,
          now: now(),
          isKept: (topic) => retained.isKept(topic),
        });
        res.json({ messages: messages.map(messageView), next: next === null ? null : encodeCursor({ topic: next, id: null }) });
      },
    },
    {
      method: 'post',
      path: '/v1/retained/restore',
      async handle(req, res) {
        // A request without a body restores all topics.
        const body = hasBody(req) ? await readJson(req, bodyLimit) : {};
        const flaws = validate(body);
        if (flaws.length > 0) throw validationProblem(flaws);
        const id = await retained.restore((body as components['schemas']['RestoreRequest']).filter ?? '#');
        res.status(202).location(`/v1/retained/restore/${id}`).json({ id, state: 'accepted' });
      },
    },
    {
      method: 'get',
      path: '/v1/retained/restore/:id',
      async handle(req, res) {
        const id = pathParameter(req, 'id');
        const outcome = isRequestId(id) ? await retained.outcome(id) : null;
        if (outcome === null) throw new Problem('not-found', 'No restore with this id was requested within the last hour.');
        res.json(outcome);
      },
    },
  ];
}
