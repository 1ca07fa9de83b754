import { createHash, timingSafeEqual } from 'node:crypto';
import { Problem } from './problem';

export interface Tokens {
  /** The token for /v1/events; null if no token is needed. */
  readonly ingestToken: string | null;
  /** Also accepted for /v1/events, so that INGEST_TOKEN can be rotated without losing events. */
  readonly previousIngestToken?: string | null;
  /** The token for every other /v1 path; null if no token is needed. */
  readonly adminToken: string | null;
  /** A token that may only read these other paths; null or absent if there is no such token. */
  readonly readToken?: string | null;
}

/** What a token may do with the paths that are not for events. */
export type Access = 'admin' | 'read';

/** Checks the header Authorization of a request. @throws Problem 401 or 403 */
export type Guard = (authorization: string | undefined) => void;

/** Checks the header Authorization of a request with this method and path. @throws Problem 401 or 403 */
export type AccessGuard = (authorization: string | undefined, method: string, path: string) => Access;

export interface Guards {
  /** Guards /v1/events and the paths below it. */
  readonly ingest: Guard;
  /** Guards every other /v1 path. */
  readonly admin: AccessGuard;
}

const IS_READING = /^(GET|HEAD)$/;
const WHOSE = 'INGEST_TOKEN is for POST /v1/events, ADMIN_TOKEN for every other /v1 path, and READ_TOKEN for GET on these.';

export function createGuards({ ingestToken, previousIngestToken = null, adminToken, readToken = null }: Tokens): Guards {
  const ingestTokens = [ingestToken, previousIngestToken].filter((token) => token !== null);
  const adminTokens = [adminToken].filter((token) => token !== null);
  const readTokens = [readToken].filter((token) => token !== null);
  const ingest = guard(ingestToken === null ? [] : ingestTokens, [...adminTokens, ...readTokens]);
  return { ingest, admin: accessGuard(adminTokens, readTokens, ingestTokens) };
}

/** @param expected the tokens that are accepted. If it is empty, every request is accepted. */
function guard(expected: readonly string[], others: readonly string[]): Guard {
  if (expected.length === 0) return () => undefined;
  const isExpected = matcher(expected);
  const isOther = matcher(others);
  return (authorization) => {
    const token = tokenOf(authorization);
    if (!isExpected(token)) throw isOther(token) ? new Problem('forbidden', WHOSE) : wrongToken();
  };
}

/** @param admins if it is empty, every request has full access. */
function accessGuard(admins: readonly string[], readers: readonly string[], others: readonly string[]): AccessGuard {
  if (admins.length === 0) return () => 'admin';
  const [isAdmin, isReader, isOther] = [matcher(admins), matcher(readers), matcher(others)];
  return (authorization, method, path) => {
    const token = tokenOf(authorization);
    if (isAdmin(token)) return 'admin';
    if (!isReader(token)) throw isOther(token) ? new Problem('forbidden', WHOSE) : wrongToken();
    if (IS_READING.test(method)) return 'read';
    throw new Problem('forbidden', `READ_TOKEN may only read. Use ADMIN_TOKEN for ${method} ${path.slice(0, 200)}.`);
  };
}

/** @throws Problem 401 */
function tokenOf(authorization = ''): string {
  const token = /^Bearer +(\S+) *$/i.exec(authorization)?.[1];
  if (token === undefined) throw challenge('Send the header Authorization: Bearer with the token.', '');
  return token;
}

const wrongToken = (): Problem => challenge('The server does not know this token.', ', error="invalid_token"');

/**
 * Compares tokens in constant time. The tokens are hashed first, because timingSafeEqual needs equal lengths and the
 * length of a token is a secret too.
 */
function matcher(expected: readonly string[]): (token: string) => boolean {
  const digests = expected.map(sha256);
  // Every digest is compared, so that the time does not tell which one is equal.
  return (token) => digests.map((digest) => timingSafeEqual(digest, sha256(token))).includes(true);
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function challenge(detail: string, more: string): Problem {
  return new Problem('unauthorized', detail, { headers: { 'WWW-Authenticate': `Bearer realm="emqx-offline-store"${more}` } });
}
