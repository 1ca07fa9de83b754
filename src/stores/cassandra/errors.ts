import { errors, types } from 'cassandra-driver';
import { errorText, RefusedError, RetryableError } from '../../base/errors';

const { responseErrorCodes: CODES } = types;

/** "Invalid" errors may also concern the schema. Then the message is not at fault. */
const SCHEMA = /does not exist|Undefined column|unconfigured table|Unknown identifier/;
const NO_KEYSPACE = /^Keyspace '?(\w+)'? does not exist/;

/** A key or value is too long, or an operator's guardrail rejects it: only these rows are affected. */
function isRefusal(error: unknown): error is errors.ResponseError {
  return error instanceof errors.ResponseError && error.code === CODES.invalid && !SCHEMA.test(error.message);
}

export function mapError(error: unknown): Error {
  if (error instanceof RefusedError || error instanceof RetryableError) return error;
  if (isRefusal(error)) return new RefusedError(firstLine(error));
  // All other errors pass with time or with an operator's help: away, overloaded, too few replicas, missing rights,
  // missing table.
  return new RetryableError(explain(causeOf(error)), { cause: error });
}

/** Checks an error that mapError() has made. */
export function isMissingTable(error: unknown): boolean {
  const cause = error instanceof RetryableError ? error.cause : null;
  return (
    cause instanceof errors.ResponseError &&
    cause.code === CODES.invalid &&
    /^table \S+ does not exist|unconfigured table/.test(cause.message)
  );
}

/** Checks an error that mapError() has made. */
export const isForbidden = (error: unknown): boolean => hasCode(error, CODES.unauthorized);

/** Checks an error that mapError() has made. An index that is not built yet makes the read fail on the nodes. */
export const isReadFailure = (error: unknown): boolean => hasCode(error, CODES.readFailure);

function hasCode(error: unknown, code: number): boolean {
  const cause = error instanceof RetryableError ? error.cause : null;
  return cause instanceof errors.ResponseError && cause.code === code;
}

function explain(error: unknown): string {
  const text = firstLine(error);
  const code = (error as { code?: unknown }).code;
  if (error instanceof errors.ResponseError) return explainResponse(error, text);
  if (error instanceof errors.AuthenticationError) return `Cassandra rejected the login (${text}): check user and password`;
  if (error instanceof errors.ArgumentError && text.includes('localDataCenter')) {
    const found = /\[(.*)\]/.exec(text)?.[1] ?? '';
    return `the cluster has no data center of this name: set dc= to one of ${found}`;
  }
  if (typeof code === 'string' && /CERT|UNABLE_TO|SELF_SIGNED/.test(code)) {
    return `the server's certificate can't be verified (${text}): set ca= to the file of the certificate authority`;
  }
  if (typeof code === 'string' && /^(ERR_SSL|EPROTO|ERR_TLS)/.test(code)) return `TLS failed (${text}): check tls= and ca=`;
  if (typeof code === 'string' || /timeout|could be resolved|No host|closed/i.test(text)) {
    return `cannot connect to Cassandra (${text}): check host and port, and whether the server wants TLS (tls=true)`;
  }
  return text;
}

function explainResponse({ code }: errors.ResponseError, text: string): string {
  const keyspace = NO_KEYSPACE.exec(text)?.[1];
  if (keyspace !== undefined) {
    return `the keyspace ${keyspace} does not exist: CREATE KEYSPACE ${keyspace} WITH replication = {'class': 'NetworkTopologyStrategy', '<data center>': 3}`;
  }
  if (code === CODES.badCredentials) return `Cassandra rejected the login (${text}): check user and password`;
  if (code === CODES.unauthorized) return `${text}: the user needs more rights`;
  if (code === CODES.invalid) return `${text}: run "emqx-offline-store migrate"`;
  if (code === CODES.unavailableException) return `${text}: too few replicas are up for this consistency`;
  return text;
}

/**
 * "No host available" contains one reason per host. A reason that concerns a setting tells more than a host that is
 * away.
 */
function causeOf(error: unknown): unknown {
  if (!(error instanceof errors.NoHostAvailableError)) return error;
  const inner = Object.values((error.innerErrors ?? {}) as Record<string, unknown>);
  const telling = inner.find((each) => each instanceof errors.DriverError && !(each instanceof errors.OperationTimedOutError));
  return telling ?? inner[0] ?? error;
}

/** The driver puts stacks of other errors into its messages. */
function firstLine(error: unknown): string {
  return (errorText(error).split('\n')[0] ?? '').replace(/^Error: /, '').trim();
}
