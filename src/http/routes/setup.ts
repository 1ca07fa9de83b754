import { SettingError } from '../../base/errors';
import { Problem, validationProblem } from '../../door/problem';
import { accessOf } from '../access';
import { queryReader } from '../query';
import type { Route } from '../route';
import type { HttpServices, SetupView } from '../services';

const setupQuery = queryReader('/v1/setup', 'get', 'getSetup');

/**
 * A topic filter becomes a part of the SQL of the rule, so not every filter is allowed.
 * @throws Problem 400 for such a filter, or 409 if a setting is wrong
 */
function checked(work: () => SetupView): SetupView {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof SettingError)) throw error;
    if (error.key === '--topic') throw validationProblem([{ path: 'topic', message: error.message.replace(/^--topic: /, '') }]);
    throw new Problem('refused', error.message);
  }
}

export function setupRoutes({ setup }: HttpServices): Route[] {
  return [
    {
      method: 'get',
      path: '/v1/setup',
      handle(req, res) {
        const { set = 'offline-messages', topic: topics = [], emqx } = setupQuery(req);
        const wish = { set, topics, emqx: emqx ?? null, showsToken: accessOf(res) === 'admin' };
        const { command, rules, lastEventAt, eventsAccepted, refused } = checked(() => setup(wish));
        res.json({ command, rules, last_event_at: lastEventAt, events_accepted: eventsAccepted, refused });
      },
    },
  ];
}
