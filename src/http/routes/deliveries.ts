import { contract } from '../../contract/contract';
import type { AppOptions } from '../options';
import { readJson } from '../../door/body';
import type { components } from '../../contract/openapi';
import { validationProblem } from '../../door/problem';
import type { Route } from '../route';
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
        await deliveries.request(clientid, topic);
        res.status(202).json({ accepted: 1 });
      },
    },
  ];
}
