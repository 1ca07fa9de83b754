import { createHash, timingSafeEqual } from 'node:crypto';
import { Problem } from './problem';

export interface Tokens {
  /** For /v1/events; null: open. */
  readonly ingestToken: string | null;
  /** Taken for the same, while a token is changed. */
  readonly previousIngestToken?: string | null;
  /** For every other /v1 path; null: open. */
  readonly adminToken: string | null;
}

/** Looks at a request's header Authorization. @throws Problem 401 or 403 */
export type Guard = (authorization: string | undefined) => void;

export interface Guards {
  /** Guards /v1/events and the paths below it. */
  readonly ingest: Guard;
  /** Guards every other /v1 path. */
  readonly admin: Guard;
}

export function createGuards({ ingestToken, previousIngestToken = null, adminToken }: Tokens): Guards {
  const ingestTokens = [ingestToken, previousIngestToken].filter((token) => token !== null);
  const adminTokens = [adminToken].filter((token) => token !== null);
  return { ingest: guard(ingestToken === null ? [] : ingestTokens, adminTokens), admin: guard(adminTokens, ingestTokens) };
}

/** `expected` empty: open. */
function guard(expected: readonly string[], others: readonly string[]): Guard {
  if (expected.length === 0) return () => undefined;
  const isExpected = matcher(expected);
  const isOther = matcher(others);
  return (authorization = '') => {
    const token = /^Bearer +(\S+) *$/i.exec(authorization)?.[1];
    if (token === undefined) throw challenge('Send Authorization: Bearer and the token.', '');
    if (isExpected(token)) return;
    if (isOther(token)) throw new Problem('forbidden', 'INGEST_TOKEN is for /v1/events, ADMIN_TOKEN for every other /v1 path.');
    throw challenge('The token is wrong.', ', error="invalid_token"');
  };
}

/** In constant time; hashed because timingSafeEqual needs equal lengths and the length is a secret too. */
function matcher(expected: readonly string[]): (token: string) => boolean {
  const digests = expected.map(sha256);
  // All of them, whichever it is.
  return (token) => digests.map((digest) => timingSafeEqual(digest, sha256(token))).includes(true);
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function challenge(detail: string, more: string): Problem {
  return new Problem('unauthorized', detail, { headers: { 'WWW-Authenticate': `Bearer realm="emqx-offline-store"${more}` } });
}
