import { MongoBulkWriteError, MongoInvalidArgumentError, MongoServerError, MongoServerSelectionError, type WriteError } from 'mongodb';
import { errorText, RefusedError, RetryableError } from '../../base/errors';

const DUPLICATE_KEY = 11000;

/**
 * Codes that concern the content of a document rather than the state of the server: 121 an operator's validator, 10334
 * and 17280 too large for a document or an index, 17419 and 17420 too large after an update, 22 not BSON.
 */
const REFUSALS = new Set([22, 121, 10334, 17280, 17419, 17420]);

/** FerretDB passes PostgreSQL's own error on. 22 is a data exception, for example U+0000 in a text. */
const FERRETDB_REFUSAL = /\(SQLSTATE 22/;

/** The result of one operation in a bulk write. */
export type WriteOutcome = 'duplicate' | 'refused' | 'failed';

export function outcomeOf({ code, errmsg = '' }: Pick<WriteError, 'code' | 'errmsg'>): WriteOutcome {
  // An operator's own unique index makes the content unacceptable. An index of the server only shows that the document
  // exists already.
  if (code === DUPLICATE_KEY) return /\bindex: (?!mqtt_|_id_)/.test(errmsg) ? 'refused' : 'duplicate';
  return isRefusal(code, errmsg) ? 'refused' : 'failed';
}

export function refusalText({ code, errmsg = '' }: Pick<WriteError, 'code' | 'errmsg'>): string {
  return `${errmsg} (code ${code})`;
}

function isRefusal(code: unknown, text: string): boolean {
  return (typeof code === 'number' && REFUSALS.has(code)) || FERRETDB_REFUSAL.test(text);
}

/** The driver itself rejects documents over 16 MB before it sends them. Much larger ones don't fit into its buffer. */
function isTooLarge(error: unknown): boolean {
  return (
    (error instanceof MongoInvalidArgumentError && /larger than the maximum size/.test(error.message)) ||
    (error as Error).name === 'RangeError'
  );
}

export function mapError(error: unknown): Error {
  if (error instanceof RefusedError || error instanceof RetryableError) return error;
  if (isTooLarge(error)) return new RefusedError('the document is larger than 16 MB');
  if (error instanceof MongoServerError && isRefusal(error.code, error.message)) {
    return new RefusedError(refusalText({ code: Number(error.code), errmsg: error.message }));
  }
  // All other errors pass with time or with an operator's help: away, no primary, missing rights, disk full, missing
  // index.
  return new RetryableError(explain(error), { cause: error });
}

/**
 * If a migration step fails because of what it finds in the database, it will fail again, so the operator must be told.
 */
export function mapMigrationError(error: unknown, step: string): unknown {
  const cause = error instanceof RetryableError ? error.cause : error;
  if (!(cause instanceof MongoServerError) || cause instanceof MongoBulkWriteError || !FOUND_IN_DATABASE.has(Number(cause.code)))
    return error;
  return new RefusedError(`the collections cannot be taken over: ${errorText(cause)} (${step})`, { cause });
}

/**
 * 67: an index that can't be made (sharded by another field). 85, 86: a conflicting index. 11000: documents with the
 * same key. Also 26, 121 and 166.
 */
const FOUND_IN_DATABASE = new Set([26, 67, 85, 86, 121, 166, 11000]);

function explain(error: unknown): string {
  // The result is one line, whatever the server's text is.
  const text = errorText(error).replace(/\s+/g, ' ');
  switch ((error as { code?: unknown }).code) {
    case 18:
      return `MongoDB rejected the login (${text}): check user, password and authSource`;
    case 13:
      return `${text}: the user needs the role readWrite on the database`;
    case 2:
      return /hint/.test(text) ? `${text}: run "emqx-offline-store migrate"` : text;
    default:
      return explainConnection(error, text);
  }
}

function explainConnection(error: unknown, text: string): string {
  if (/^query(Srv|Txt) /.test(text)) {
    return `the DNS look-up of mongodb+srv:// failed (${text}): check the host name, or write mongodb:// with each host (in Atlas the "standard connection string")`;
  }
  if (/certificate|SSL|TLS/i.test(text)) return `no TLS connection to MongoDB (${text}): check tls= and ca=`;
  if (/ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT/.test(text)) {
    return `cannot connect to MongoDB (${text}): check host and port`;
  }
  if (/connection .*closed/.test(text))
    return `MongoDB closed the connection (${text}): check host and port, and whether it wants tls=true`;
  if (error instanceof MongoServerSelectionError) return `no primary found (${text}): check the hosts, replicaSet= and tls=`;
  return text;
}
