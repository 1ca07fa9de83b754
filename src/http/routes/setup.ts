import { accessOf } from '../access';
import { queryReader } from '../query';
import type { Route } from '../route';
import type { HttpServices } from '../services';

const setupQuery = queryReader('/v1/setup', 'get', 'getSetup');

export function setupRoutes({ setup }: HttpServices): Route[] {
  return [
    {
      method: 'get',
      path: '/v1/setup',
      handle(req, res) {
        const { set = 'offline-messages', topic: topics = [], emqx } = setupQuery(req);
        const { command, rules, lastEventAt, eventsAccepted, refused } = setup({
          set,
          topics,
          emqx: emqx ?? null,
          showsToken: accessOf(res) === 'admin',
        });
        res.json({ command, rules, last_event_at: lastEventAt, events_accepted: eventsAccepted, refused });
      },
    },
  ];
}
