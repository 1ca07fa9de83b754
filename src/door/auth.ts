import { createHash, timingSafeEqual } from 'node:crypto';
import { Problem } from './problem';

export interface Tokens {
  /** For /v1/events; null: open. */
  readonly ingestToken: string | null;
  /** Taken for the same, while a token is changed. */
  readonly previousIngestToken?: string | null;
  /** For every other /v1 path; null: open. */
  readonly adminToken: string | null;
  /** For reading every other /v1 path; null or absent: there is none. */
  readonly readToken?: string | null;
}

/** What a token may do with the paths that are not for events. */
export type Access = 'admin' | 'read';

/** Looks at a request's header Authorization. @throws Problem 401 or 403 */
export type Guard = (authorization: string | undefined) => void;

/** Likewise; `method` and `path` are those of the request. */
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

/** `expected` empty: open. */
function guard(expected: readonly string[], others: readonly string[]): Guard {
  if (expected.length === 0) return () => undefined;
  const isExpected = matcher(expected);
  const isOther = matcher(others);
  return (authorization) => {
    const token = tokenOf(authorization);
    if (!isExpected(token)) throw isOther(token) ? new Problem('forbidden', WHOSE) : wrongToken();
  };
}

/** `admins` empty: open, whoever asks. */
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
