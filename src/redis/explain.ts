import { errorText } from '../base/errors';

/** An error of one node of a cluster. The reason is often the node's address, which the cluster announces. */
export class NodeError extends Error {
  override readonly name = 'NodeError';
  constructor(
    override readonly cause: Error,
    /** host:port, as the client connects to it. */
    readonly node: string,
  ) {
    super(cause.message);
  }
}

const ANNOUNCED = "the cluster's nodes announce their addresses to clients";
const AWAY = /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT)$/;

/**
 * One line that tells an operator what to do.
 * @param trouble the last error of the connection.
 */
export function explain(error: unknown, trouble: Error | null): string {
  const told = isWaiting(error) && trouble !== null ? trouble : error;
  const cause = told instanceof NodeError ? told.cause : told;
  const text = errorText(firstOf(cause));
  const code = (firstOf(cause) as { code?: string }).code ?? '';
  if (text.startsWith('All sentinels are unreachable')) return explainSentinels(text);
  if (told instanceof NodeError) {
    if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
      return `the certificate of the node ${told.node} is for another name (${text}): ${ANNOUNCED}; set cluster-announce-hostname and cluster-preferred-endpoint-type hostname on each node`;
    }
    if (AWAY.test(code) || text.startsWith('connect ETIMEDOUT')) {
      return `cannot connect to the node ${told.node} (${text || code}): ${ANNOUNCED}; set cluster-announce-ip on each node to an address that this machine can reach`;
    }
  }
  if (/^(WRONGPASS|NOAUTH)/.test(text) || /invalid (username-)?password|without any password/i.test(text)) {
    return `Redis rejected the login (${text}): check user and password`;
  }
  if (text.startsWith('NOPERM')) return `${text}: the user needs more rights`;
  if (text.startsWith('OOM')) return `${text}: raise maxmemory, or store less`;
  if (AWAY.test(code) || /^(connect ETIMEDOUT|Connection is closed|Failed to refresh slots)/.test(text)) {
    return `cannot connect to Redis (${text || code}): check host and port`;
  }
  if (isUntrusted(`${text} ${code}`)) return `the TLS connection to Redis failed (${text || code}): check tls=, ca= and the host name`;
  if (isWrongDatabase(cause)) return `${text}: check the database number after the last slash of the URL`;
  return text;
}

function explainSentinels(message: string): string {
  const text = /Last error: (.*)$/.exec(message)?.[1] ?? message;
  if (/NOAUTH|WRONGPASS|invalid (username-)?password/i.test(text)) {
    return `the sentinel requires a password (${text}): set sentinelPassword= (and sentinelUser=) if it differs from the data nodes' password`;
  }
  if (isUntrusted(text)) return `the TLS connection to the sentinel failed (${text}): check tls=, ca= and the name in its certificate`;
  return `cannot connect to a sentinel that knows the master (${text}): check hosts, tls= and the master's name`;
}

const isUntrusted = (text: string): boolean => /cert|self-signed|SSL|TLS|EPROTO|issuer/i.test(text);

export function isWrongDatabase(error: unknown): boolean {
  return error instanceof Error && /DB index/i.test(error.message);
}

/** Errors of the client that only say that it is waiting. */
function isWaiting(error: unknown): boolean {
  return /max retries per request|Command timed out|Connection is closed|Failed to refresh slots|None of startup nodes/i.test(
    errorText(error),
  );
}

function firstOf(error: unknown): unknown {
  if (error instanceof AggregateError) return error.errors[0] ?? error;
  // The error may be ioredis' ClusterAllFailedError.
  return (error as { lastNodeError?: unknown }).lastNodeError ?? error;
}
