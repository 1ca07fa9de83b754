import { DatabaseError } from 'pg';
import { errorText as textOf, RefusedError, RetryableError } from '../../base/errors';

/**
 * SQLSTATEs that concern the content of a row rather than the state of the server: 22 data exception, 23 constraint
 * violation, 44 check option, 54000 program limit exceeded (an operator's index on a long topic), P0 raised by an
 * operator's trigger.
 */
const REFUSALS = /^(22|23|44|54000|P0)/;
/** A sequence at its end (2200H) concerns the table, not the message. */
const SEQUENCE_ENDED = '2200H';
const UNIQUE_VIOLATION = '23505';
/** In PostgreSQL's text, in any language, the first parentheses have the columns of the key. */
const KEY_OVER_ID = /^[^(]*\(id\)=/;

/**
 * SQLSTATEs of a server that is away, busy, full or read-only, or that denies a right: 08 connection, 25 read-only
 * transaction, 28 login, 40 deadlock, 42501 rights, 53 resources, 55 object not available, 57 shutting down, 58 disk.
 */
const STATE_OF_SERVER = /^(08|25|28|40|42501|53|55|57|58)/;

export function mapError(error: unknown, product = 'PostgreSQL'): Error {
  if (error instanceof RefusedError || error instanceof RetryableError) return error;
  if (isRefusal(error)) return new RefusedError(`${errorText(error)} (SQLSTATE ${error.code})`);
  // All other errors pass with time or with an operator's help: away, too many connections, read-only, disk full,
  // missing rights, missing table.
  return new RetryableError(explain(error, product), { cause: error });
}

/**
 * If a migration step fails because of what it finds in the database, it will fail again, so the operator must be told.
 */
export function mapMigrationError(error: unknown, step: string): unknown {
  if (!(error instanceof DatabaseError) || STATE_OF_SERVER.test(error.code ?? '')) return error;
  return new RefusedError(`the tables cannot be taken over: ${errorText(error)} (${step}); nothing was changed`, { cause: error });
}

/** Why the database refuses a statement of the operator's, in its own words; null: the error says nothing about the statement. */
export function statementRefusal(error: unknown): string | null {
  if (!(error instanceof DatabaseError)) return null;
  const lacksRight = error.code === '42501';
  return lacksRight || !STATE_OF_SERVER.test(error.code ?? '') ? errorText(error) : null;
}

function isRefusal(error: unknown): error is DatabaseError {
  return error instanceof DatabaseError && REFUSALS.test(error.code ?? '') && !isAboutNumbers(error);
}

/**
 * The database numbers the rows. If it runs out of numbers, or gives one that another row has, that concerns the table,
 * not the message.
 */
function isAboutNumbers({ code, detail }: DatabaseError): boolean {
  return code === SEQUENCE_ENDED || (code === UNIQUE_VIOLATION && KEY_OVER_ID.test(detail ?? ''));
}

/**
 * The connection leads to a server that takes no writes, for example to a standby after a failover. It would stay of no use for as long as
 * it is open.
 */
export function isReadOnly(error: unknown): boolean {
  return (error as { code?: unknown } | null)?.code === '25006';
}

/** One line that tells an operator what to do. */
export function explain(error: unknown, product: string): string {
  const cause = firstOf(error);
  const code = (cause as { code?: unknown }).code;
  switch (code) {
    case 'ECONNREFUSED':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'ETIMEDOUT':
      return `cannot connect to ${product} (${errorText(cause) || String(code)}): check host and port`;
    case '28P01':
    case '28000':
      return `${product} rejected the login (${errorText(cause)}): check user and password`;
    case '3D000':
      return `${errorText(cause)}: create the database first`;
    case '42501':
      return `${errorText(cause)}: the user needs more rights`;
    case '42P01':
    case '42703':
    case '42883':
      return `${errorText(cause)}: run "emqx-offline-store migrate"`;
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
      return `${product}'s certificate is not trusted (${errorText(cause)}): give the PEM file of its certificate authority as ca=`;
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return `${product}'s certificate is for another name (${errorText(cause)}): write the host as the certificate names it`;
    case 'CERT_HAS_EXPIRED':
      return `${product}'s certificate is not trusted (${errorText(cause)}): renew it`;
    default:
      return /does not support SSL/.test(errorText(cause))
        ? `${product} offers no TLS: leave out tls=, ca= and sslmode=, or turn TLS on there`
        : errorText(cause);
  }
}

/** A host with several addresses fails with one error per address. The first one is enough. */
function firstOf(error: unknown): unknown {
  return error instanceof AggregateError ? (error.errors[0] ?? error) : error;
}

/** knex puts the statement and " - " before the database's text. No statement of the server contains " - ". */
function errorText(error: unknown): string {
  return textOf(error).replace(/^\s*(?:SELECT|INSERT|UPDATE|DELETE|CALL|WITH|CREATE|EXPLAIN|--)[\s\S]*? - /i, '');
}
