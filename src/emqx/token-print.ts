import { scryptSync } from 'node:crypto';
import { OURS } from './rules';

/**
 * EMQX hides the connector's Authorization header in every answer, so that nobody could see there whether the token in it is still INGEST_TOKEN.
 * The connector's description therefore has a fingerprint of the token. Everybody who may look at EMQX's dashboard can read it: scrypt makes each
 * guess at a short token cost about 50 ms.
 */
export function tokenPrint(token: string): string {
  return scryptSync(token, 'emqx-offline-store connector', 4).toString('hex');
}

export const describeConnector = (print: string | null): string => (print === null ? OURS : `${OURS}, token ${print}`);

/** null: the description has none. */
export function printIn(description: string): string | null {
  return /, token ([0-9a-f]{8})$/.exec(description)?.[1] ?? null;
}
