import type { Health } from '../base/health';
import type { HttpAnswer } from './http';
import { codeOf, readNodesAnswer, rejected } from './v5-answer';

export interface HealthV5Deps {
  /** Sends one GET under EMQX_URL, without retries. */
  readonly get: (path: string, signal: AbortSignal) => Promise<HttpAnswer>;
  readonly shownUrl: string;
}

/**
 * The path of a client that does not exist. A 404 with CLIENTID_NOT_FOUND shows that EMQX answers and the key may read
 * clients.
 */
const NOBODY = '/clients/emqx-offline-store-health';

/**
 * GET /nodes requires the key, tells the version and concerns no client; /status requires no key and so tells nothing
 * about it. EMQX Serverless does not have /nodes, and the role `publisher` and EMQX 6's scopes may forbid it. Delivery
 * may work there all the same, so such an EMQX counts as healthy, and the detail says what is unknown.
 */
export async function healthOf({ get, shownUrl }: HealthV5Deps, signal: AbortSignal): Promise<Health> {
  const nodes = await get('/nodes', signal);
  if (nodes.status !== 403 && nodes.status !== 404) return readNodesAnswer(nodes, shownUrl);
  const client = await get(NOBODY, signal);
  const why = `${nodes.request ?? 'GET /nodes'}: ${nodes.status}`;
  if (client.status === 200 || codeOf(client.body) === 'CLIENTID_NOT_FOUND') {
    return { ok: true, detail: `EMQX answers; its version, and which of its nodes run, are unknown (${why})` };
  }
  // EMQX's own 403 shows that it knows the key, which may be a key for publishing only.
  if (client.status === 403 && codeOf(client.body) !== null) {
    return {
      ok: true,
      detail: `EMQX answers; its version, its nodes and clients' sessions are unknown (${why}, GET /clients/{clientid}: 403), and whether the key may publish`,
    };
  }
  throw rejected(client.status === 403 || client.status === 404 ? nodes : client, shownUrl);
}
