import { errorText, RetryableError } from '../../base/errors';

/** Redis takes any bytes: what it refuses it refuses for its own state, and that passes or an operator helps. */
export function mapError(error: unknown, trouble: Error | null): Error {
  return error instanceof RetryableError ? error : new RetryableError(explain(error, trouble), { cause: error });
}

/** `trouble`: what the connection said last. */
export function explain(error: unknown, trouble: Error | null): string {
  const cause = isWaiting(error) && trouble !== null ? trouble : error;
  const text = errorText(firstOf(cause));
  const code = (firstOf(cause) as { code?: string }).code ?? '';
  if (/^(WRONGPASS|NOAUTH)/.test(text) || /invalid (username-)?password|without any password/i.test(text)) {
    return `Redis refused the login (${text}): check user and password`;
  }
  if (text.startsWith('NOPERM')) return `${text}: the user needs more rights`;
  if (text.startsWith('OOM')) return `${text}: raise maxmemory, or store less`;
  if (/^All sentinels are unreachable/.test(text)) return `cannot connect to a sentinel that knows the master (${text}): check hosts and the master's name`;
  if (/^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT)$/.test(code) || /^(connect ETIMEDOUT|Connection is closed|Failed to refresh slots)/.test(text)) {
    return `cannot connect to Redis (${text || code}): check host and port`;
  }
  if (/cert|self-signed|SSL|TLS|EPROTO|issuer/i.test(`${text} ${code}`)) return `no trust between us and Redis (${text || code}): check tls=, ca= and the host's name`;
  if (isWrongDatabase(cause)) return `${text}: check the database number behind the last slash`;
  return text;
}

export function isWrongDatabase(error: unknown): boolean {
  return error instanceof Error && /DB index/i.test(error.message);
}

/** Messages of the client that only tell of waiting. */
function isWaiting(error: unknown): boolean {
  return /max retries per request|Command timed out|Connection is closed|Failed to refresh slots|None of startup nodes/i.test(errorText(error));
}

function firstOf(error: unknown): unknown {
  if (error instanceof AggregateError) return error.errors[0] ?? error;
  // ioredis' ClusterAllFailedError
  return (error as { lastNodeError?: unknown }).lastNodeError ?? error;
}
