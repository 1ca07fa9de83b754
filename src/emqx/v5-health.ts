import type { Health } from '../base/health';
import type { HttpAnswer } from './http';
import { codeOf, readNodesAnswer, rejected } from './v5-answer';

export interface HealthV5Deps {
  /** One GET under EMQX_URL, without retries. */
  readonly get: (path: string, signal: AbortSignal) => Promise<HttpAnswer>;
  readonly shownUrl: string;
}

/** Nobody should be called so: a 404 CLIENTID_NOT_FOUND is the answer of an EMQX whose key may look for clients. */
const NOBODY = '/clients/emqx-offline-store-health';

/**
 * GET /nodes needs the key, tells the version and touches no client; /status needs no key and so says nothing about it. EMQX Serverless has no such path, and
 * the role `publisher` and the scopes of EMQX 6 may close it: what can be delivered there all the same is told as well, with what is unknown.
 */
export async function healthOf({ get, shownUrl }: HealthV5Deps, signal: AbortSignal): Promise<Health> {
  const nodes = await get('/nodes', signal);
  if (nodes.status !== 403 && nodes.status !== 404) return readNodesAnswer(nodes, shownUrl);
  const client = await get(NOBODY, signal);
  const why = `${nodes.request ?? 'GET /nodes'}: ${nodes.status}`;
  if (client.status === 200 || codeOf(client.body) === 'CLIENTID_NOT_FOUND') {
    return { ok: true, detail: `EMQX answers; its version, and which of its nodes run, are unknown (${why})` };
  }
  // EMQX's own 403 says that it knows the key, which may be one for publishing alone.
  if (client.status === 403 && codeOf(client.body) !== null) {
    return {
      ok: true,
      detail: `EMQX answers; its version, its nodes and clients' sessions are unknown (${why}, GET /clients/{clientid}: 403), and whether the key may publish`,
    };
  }
  throw rejected(client.status === 403 || client.status === 404 ? nodes : client, shownUrl);
}
