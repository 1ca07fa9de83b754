import type { Request } from 'express';
import { contract } from '../../contract/contract';
import { positionView } from '../../mailbox/positions/position-view';
import { clientConsumer } from '../../mqtt/consumer';
import { stringProblem } from '../../mqtt/validity';
import { isInbox, splitShare } from '../../mqtt/topic';
import type { Subscription } from '../../stores/store';
import { compareText } from '../../stores/shared/order';
import type { AppOptions } from '../options';
import { readJson } from '../../door/body';
import { decodeText, encodeText } from '../cursor';
import type { components } from '../../contract/openapi';
import { Problem, validationProblem } from '../../door/problem';
import { queryReader } from '../query';
import { pathParameter, type Route } from '../route';
import type { HttpServices } from '../services';

type Wanted = components['schemas']['Subscription'];

const CLIENT = '/v1/clients/{clientid}';
const clientQuery = queryReader(CLIENT, 'get', 'getClient');
const listQuery = queryReader(`${CLIENT}/subscriptions`, 'get', 'listSubscriptions');
const removeQuery = queryReader(`${CLIENT}/subscriptions`, 'delete', 'removeSubscriptions');
const validate = contract.validator('#/components/schemas/SubscriptionList');

export function clientRoutes({ store, clients }: HttpServices, { bodyLimit }: AppOptions): Route[] {
  const path = '/v1/clients/:clientid';

  /** Reads one position more than asked for, to know whether there is a next page. */
  const positionsOf = async (clientid: string, after: string, limit: number) => {
    const found = await store.listPositions(clientConsumer(clientid), after, limit + 1);
    return pageOf(found, limit);
  };

  return [
    {
      method: 'get',
      path,
      async handle(req, res) {
        const clientid = clientId(req);
        const { after, limit = 100 } = clientQuery(req);
        const [state, subscriptions, positions, delivery] = await Promise.all([
          store.getClientState(clientid),
          store.listSubscriptions(clientid),
          positionsOf(clientid, after === undefined ? '' : decodeText(after), limit),
          clients.delivery(clientid),
        ]);
        const nothing = state === null && delivery === null && subscriptions.length + positions.page.length === 0;
        if (nothing && after === undefined) throw new Problem('not-found', 'The server knows nothing about a client with this id.');
        const explanation = await clients.explanation(clientid, state, subscriptions);
        res.json({
          clientid,
          connected: state?.connected ?? null,
          node: state?.node ?? null,
          connected_at: state?.connectedAt ?? null,
          disconnected_at: state?.disconnectedAt ?? null,
          subscription_count: subscriptions.length,
          subscriptions: subscriptions.slice(0, limit).map(subscriptionView),
          positions: positions.page.flatMap((position) => positionView(position) ?? []),
          delivery,
          explanation,
          next: positions.next,
        });
      },
    },
    {
      method: 'get',
      path: `${path}/subscriptions`,
      async handle(req, res) {
        const { after, limit = 100 } = listQuery(req);
        const from = after === undefined ? '' : decodeText(after);
        const all = await store.listSubscriptions(clientId(req));
        const { page, next } = pageOf(
          all.filter(({ topic }) => compareText(topic, from) > 0),
          limit,
        );
        res.json({ subscriptions: page.map(subscriptionView), next });
      },
    },
    {
      method: 'put',
      path: `${path}/subscriptions`,
      async handle(req, res) {
        const clientid = clientId(req);
        await clients.assign(clientid, wantedOf(await readJson(req, bodyLimit)));
        res.status(202).json({ accepted: 1 });
      },
    },
    {
      method: 'delete',
      path: `${path}/subscriptions`,
      async handle(req, res) {
        const { topic = null } = removeQuery(req);
        await clients.withdraw(clientId(req), topic);
        res.status(202).json({ accepted: 1 });
      },
    },
  ];
}

function clientId(req: Request): string {
  const clientid = pathParameter(req, 'clientid');
  const problem = stringProblem(clientid);
  if (problem !== null) throw validationProblem([{ path: 'clientid', message: problem }]);
  return clientid;
}

function wantedOf(body: unknown): Wanted[] {
  const flaws = validate(body);
  if (flaws.length > 0) throw validationProblem(flaws);
  const { subscriptions } = body as components['schemas']['SubscriptionList'];
  const seen = new Set<string>();
  for (const [i, { topic }] of subscriptions.entries()) {
    const path = `/subscriptions/${i}/topic`;
    if (seen.has(topic)) throw validationProblem([{ path, message: 'is given twice' }]);
    if (isInbox(splitShare(topic).filter))
      throw validationProblem([{ path, message: 'must not be an inbox: the server subscribes to those itself' }]);
    seen.add(topic);
  }
  return subscriptions;
}

function subscriptionView({ topic, qos }: Subscription): Wanted {
  return { topic, qos };
}

function pageOf<T extends { readonly topic: string }>(found: readonly T[], limit: number): { page: readonly T[]; next: string | null } {
  const page = found.slice(0, limit);
  const last = page.at(-1);
  return { page, next: found.length > limit && last !== undefined ? encodeText(last.topic) : null };
}
