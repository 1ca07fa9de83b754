import { createHash, timingSafeEqual } from 'node:crypto';
import type { RequestHandler } from 'express';
import { Problem } from './problem';

export interface Tokens {
  /** For /v1/events; null: open. */
  readonly ingestToken: string | null;
  /** Taken for the same, while a token is changed. */
  readonly previousIngestToken?: string | null;
  /** For every other /v1 path; null: open. */
  readonly adminToken: string | null;
}

/** For mounting at /v1. What is not plainly an events path needs the admin token: a spelling we did not think of fails closed. */
export function authenticate({ ingestToken, previousIngestToken = null, adminToken }: Tokens): RequestHandler {
  const ingestTokens = [ingestToken, previousIngestToken].filter((token) => token !== null);
  const adminTokens = [adminToken].filter((token) => token !== null);
  const ingest = guard(ingestToken === null ? [] : ingestTokens, adminTokens);
  const admin = guard(adminTokens, ingestTokens);
  return (req, res, next) => (/^\/events(\/|$)/.test(req.path) ? ingest : admin)(req, res, next);
}

/** `expected` empty: open. */
function guard(expected: readonly string[], others: readonly string[]): RequestHandler {
  if (expected.length === 0) return (_req, _res, next) => next();
  const isExpected = matcher(expected);
  const isOther = matcher(others);
  return (req, _res, next) => {
    const token = /^Bearer +(\S+) *$/i.exec(req.get('Authorization') ?? '')?.[1];
    if (token === undefined) throw challenge('Send Authorization: Bearer and the token.', '');
    if (isExpected(token)) return next();
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
