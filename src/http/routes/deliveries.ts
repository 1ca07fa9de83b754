import { contract } from '../../contract/contract';
import type { AppOptions } from '../options';
import { readJson } from '../../door/body';
import type { components } from '../../contract/openapi';
import { Problem, validationProblem } from '../../door/problem';
import { isRequestId } from '../../lanes/outcomes';
import { pathParameter, type Route } from '../route';
import type { HttpServices } from '../services';

const validate = contract.validator('#/components/schemas/DeliveryRequest');

export function deliveryRoutes({ deliveries }: HttpServices, { bodyLimit }: AppOptions): Route[] {
  return [
    {
      method: 'post',
      path: '/v1/deliveries',
      async handle(req, res) {
        const body = await readJson(req, bodyLimit);
        const flaws = validate(body);
        if (flaws.length > 0) throw validationProblem(flaws);
        const { clientid, topic } = body as components['schemas']['DeliveryRequest'];
        const id = await deliveries.request(clientid, topic);
        res.status(202).location(`/v1/deliveries/${id}`).json({ id, state: 'accepted' });
      },
    },
    {
      method: 'get',
      path: '/v1/deliveries/:id',
      async handle(req, res) {
        const id = pathParameter(req, 'id');
        const outcome = isRequestId(id) ? await deliveries.outcome(id) : null;
        if (outcome === null) throw new Problem('not-found', 'No delivery with this id was requested within the last hour.');
        res.json(outcome);
      },
    },
  ];
}
