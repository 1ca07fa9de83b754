import { DatabaseError } from 'pg';
import { errorText as textOf, RefusedError, RetryableError } from '../../errors';

/**
 * SQLSTATE classes that speak of the content of a row, not of the state of the server: 22 data exception, 23 constraint violation,
 * 54 program limit exceeded, P0 raised by a trigger of the operator's.
 */
const REFUSALS = /^(22|23|54|P0)/;

export function mapError(error: unknown): Error {
  if (error instanceof RefusedError || error instanceof RetryableError) return error;
  if (error instanceof DatabaseError && REFUSALS.test(error.code ?? '')) return new RefusedError(`${errorText(error)} (SQLSTATE ${error.code})`);
  // The rest passes with time or with an operator's help: away, too many connections, read-only, disk full, no rights, no table.
  return new RetryableError(explain(error), { cause: error });
}

function explain(error: unknown): string {
  const code = (error as { code?: unknown }).code;
  switch (code) {
    case 'ECONNREFUSED':
    case 'ENOTFOUND':
    case 'EHOSTUNREACH':
      return `cannot connect to PostgreSQL (${errorText(error) || String(code)}): check host and port`;
    case '28P01':
    case '28000':
      return `PostgreSQL refused the login (${errorText(error)}): check user and password`;
    case '3D000':
      return `${errorText(error)}: create the database first`;
    case '42501':
      return `${errorText(error)}: the user needs more rights`;
    case '42P01':
      return `${errorText(error)}: run "emqx-offline-store migrate"`;
    default:
      return errorText(error);
  }
}

/** knex puts the statement and " - " before the database's words. */
function errorText(error: unknown): string {
  return textOf(error).replace(/^[\s\S]* - /, '');
}
