import { errorText as textOf, RefusedError, RetryableError } from '../../base/errors';

interface ServerError extends Error {
  readonly code?: string;
  readonly errno?: number;
  readonly sqlState?: string;
  readonly sqlMessage?: string;
}

/**
 * SQLSTATE classes that concern the content of a row: 22 data exception, 23 constraint violation, 44 check option, 45 a
 * trigger's SIGNAL.
 */
const REFUSALS = /^(22|23|44|45)/;
/**
 * The same kind of errors under HY000 or 01000: truncated value, wrong string, CHECK of MySQL and of MariaDB, row too
 * large.
 */
const REFUSAL_NUMBERS = new Set([1265, 1366, 3819, 4025, 1118]);
const DEADLOCK = 1213;
/** mysql2's code for a query without an answer in time. */
const SILENCE = 'PROTOCOL_SEQUENCE_TIMEOUT';

/** SQLSTATE classes and numbers of a server that is away, busy, full or read-only, or that denies a right. */
const STATE_OF_SERVER = /^(08|28|40)/;
const STATE_NUMBERS = new Set([
  1021, 1040, 1041, 1042, 1043, 1044, 1045, 1053, 1114, 1142, 1143, 1158, 1159, 1160, 1161, 1205, 1213, 1227, 1290, 1370, 1836, 1927,
]);

/** The user lacks a right on a table, a column or a routine. */
const NO_RIGHT = new Set([1142, 1143, 1370]);

/** A server that takes no writes: read_only or innodb_read_only is on, or a transaction may only read. */
const READ_ONLY = new Set([1290, 1836, 1792]);
/** A subquery has more than one row. */
const NO_VALUE = 1242;

/**
 * The connection leads to a server that takes no writes, for example to a replica after a failover. It would stay of no use for as long as
 * it is open.
 */
export const isReadOnly = (error: unknown): boolean => READ_ONLY.has((error as ServerError).errno ?? 0);

/**
 * The refusal of a row that a unique key other than that of msgid rejected (STORED_BEFORE of messages.ts); other errors
 * stay as they are.
 */
export function toOtherKey(error: unknown): unknown {
  const { cause } = error as { cause?: ServerError };
  if (cause?.errno !== NO_VALUE) return error;
  return new RefusedError('mqtt_msg has another message with the same values under a unique key that the server did not make');
}

export const isDeadlock = (error: unknown): boolean => (error as ServerError).errno === DEADLOCK;
export const isSilence = (error: unknown): boolean => (error as ServerError).code === SILENCE;

export function mapError(error: unknown): Error {
  if (error instanceof RefusedError || error instanceof RetryableError) return error;
  const { errno, sqlState } = error as ServerError;
  if (REFUSALS.test(sqlState ?? '') || REFUSAL_NUMBERS.has(errno ?? 0)) return new RefusedError(`${errorText(error)} (error ${errno})`);
  // All other errors pass with time or with an operator's help: away, too many connections, read-only, disk full,
  // missing rights, missing table.
  return new RetryableError(explain(error as ServerError), { cause: error });
}

/**
 * If a migration step fails because of what it finds in the database, it will fail again, so the operator must be told.
 */
export function mapMigrationError(error: unknown, step: string): unknown {
  const server = (error instanceof RetryableError ? error.cause : error) as ServerError;
  if (server.errno === undefined && !(error instanceof RefusedError)) return error;
  if (STATE_OF_SERVER.test(server.sqlState ?? '') || STATE_NUMBERS.has(server.errno ?? 0)) return error;
  return new RefusedError(`the tables cannot be taken over: ${errorText(server)} (${step})`, { cause: error });
}

/** Why the database refuses a statement of the operator's, in its own words; null: the error says nothing about the statement. */
export function statementRefusal(error: unknown): string | null {
  const { errno = 0, sqlState } = error as ServerError;
  // Only the server's own errors have an SQLSTATE: a connection that broke has none.
  if (sqlState === undefined) return null;
  const isOfServer = STATE_OF_SERVER.test(sqlState) || STATE_NUMBERS.has(errno);
  return NO_RIGHT.has(errno) || !isOfServer ? errorText(error) : null;
}

function explain(error: ServerError): string {
  const text = errorText(error);
  switch (error.code) {
    case 'ECONNREFUSED':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'ETIMEDOUT':
      return `cannot connect to MySQL (${text || error.code}): check host and port`;
    case 'ER_ACCESS_DENIED_ERROR':
    case 'ER_ACCESS_DENIED_NO_PASSWORD_ERROR':
    case 'ER_NOT_SUPPORTED_AUTH_MODE':
      return `MySQL rejected the login (${text}): check user and password`;
    case 'ER_BAD_DB_ERROR':
      return `${text}: create the database first`;
    case 'ER_DBACCESS_DENIED_ERROR':
    case 'ER_TABLEACCESS_DENIED_ERROR':
    case 'ER_COLUMNACCESS_DENIED_ERROR':
    case 'ER_SPECIFIC_ACCESS_DENIED_ERROR':
      return `${text}: the user needs more rights`;
    case 'ER_NO_SUCH_TABLE':
    case 'ER_BAD_FIELD_ERROR':
      return `${text}: run "emqx-offline-store migrate"`;
    case 'HANDSHAKE_NO_SSL_SUPPORT':
      return 'MySQL offers no TLS: leave out tls= and ca=, or turn TLS on there';
    case 'HANDSHAKE_SSL_ERROR':
      return `MySQL's certificate is not trusted (${text}): check ca= and the host name`;
    case undefined:
    default:
      return text;
  }
}

/** knex puts the statement and " - " before the database's text, which is alone in sqlMessage. */
function errorText(error: unknown): string {
  const first = error instanceof AggregateError ? (error.errors[0] as unknown) : error;
  return (first as ServerError).sqlMessage ?? textOf(first);
}
