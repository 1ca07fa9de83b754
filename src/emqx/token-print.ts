import { scryptSync } from 'node:crypto';
import { OURS } from './rules';

/**
 * A fingerprint of the token, for the connector's description. EMQX hides the connector's Authorization header in every
 * answer, so it would be unknown whether its token is still INGEST_TOKEN. Everybody who may use EMQX's dashboard can
 * read the fingerprint. scrypt makes each guess at a short token cost about 50 ms.
 */
export function tokenPrint(token: string): string {
  return scryptSync(token, 'emqx-offline-store connector', 4).toString('hex');
}

export const describeConnector = (print: string | null): string => (print === null ? OURS : `${OURS}, token ${print}`);

/** null if the description has none. */
export function printIn(description: string): string | null {
  return /, token ([0-9a-f]{8})$/.exec(description)?.[1] ?? null;
}
