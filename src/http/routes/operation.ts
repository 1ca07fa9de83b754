import { VERSION } from '../../base/version';
import { contract } from '../../contract/contract';
import { accessOf } from '../access';
import type { AppOptions } from '../options';
import type { Route } from '../route';
import type { HttpServices, ReadinessCheck } from '../services';

export function operationRoutes(services: HttpServices, { log }: AppOptions): Route[] {
  const checks = async (): Promise<readonly ReadinessCheck[]> => {
    try {
      return await services.readiness();
    } catch (err) {
      log.error({ err }, 'the readiness checks failed');
      return [{ name: 'checks', ok: false, detail: 'the server could not run its checks; the log says why' }];
    }
  };

  return [
    {
      method: 'get',
      path: '/v1/access',
      handle(_req, res) {
        res.json({ access: accessOf(res), version: VERSION });
      },
    },
    {
      method: 'get',
      path: '/v1/stats',
      async handle(_req, res) {
        res.json(await services.stats());
      },
    },
    {
      method: 'get',
      path: '/healthz',
      handle(_req, res) {
        res.json({ status: 'ok' });
      },
    },
    {
      method: 'get',
      path: '/readyz',
      async handle(_req, res) {
        const all = await checks();
        const ready = all.every(({ ok }) => ok);
        res.status(ready ? 200 : 503).json({ ready, checks: all });
      },
    },
    {
      method: 'get',
      path: '/metrics',
      async handle(_req, res) {
        const { registry } = services.metrics;
        res.set('Content-Type', registry.contentType).send(await registry.metrics());
      },
    },
    {
      method: 'get',
      path: '/openapi.yaml',
      handle(_req, res) {
        res.type('application/yaml').send(contract.text);
      },
    },
  ];
}
