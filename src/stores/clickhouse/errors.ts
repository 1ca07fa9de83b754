import { errorText, RefusedError, RetryableError } from '../../base/errors';

/**
 * Error codes that concern the content of a row: an operator's constraint (469) or throwIf (395), and values that can't
 * be parsed into their column (6, 26, 27, 41, 53, 69, 70, 72, 117, 131 a string too long).
 */
const REFUSALS = new Set([6, 26, 27, 41, 53, 69, 70, 72, 117, 131, 395, 469]);

const PRODUCT = 'ClickHouse';
const MAX_LENGTH = 250;

export interface ServerError {
  readonly code: number;
  readonly text: string;
}

/**
 * The server's code and text; null if the error is not the server's. Old servers use another format, which the client
 * does not parse.
 */
export function serverError(error: unknown): ServerError | null {
  if (!(error instanceof Error)) return null;
  const old = /^Code: (\d+)[,.]\s*(?:e\.displayText\(\) = )?(?:DB::Exception: )?([\s\S]*?)(?:, e\.what\(\) = [\s\S]*)?$/.exec(
    error.message,
  );
  if (old !== null) return { code: Number(old[1]), text: oneLine(old[2] ?? '') };
  const code = Number((error as { code?: unknown }).code);
  return Number.isInteger(code) && code > 0 ? { code, text: oneLine(error.message) } : null;
}

const oneLine = (message: string): string => message.replace(/\s+/g, ' ').trim().replace(/\.$/, '').slice(0, MAX_LENGTH);

/** @param insert true if the statement contained rows. Only then can an error be about their content. */
export function mapError(error: unknown, insert = false): Error {
  if (error instanceof RefusedError || error instanceof RetryableError) return error;
  const said = serverError(error);
  if (said !== null && insert && REFUSALS.has(said.code)) return new RefusedError(`${said.text} (code ${said.code})`);
  // All other errors pass with time or with an operator's help: away, overloaded, too many parts, disk full, missing
  // rights, missing table.
  return new RetryableError(said === null ? explainConnection(error) : explain(said), { cause: error });
}

function explain({ code, text }: ServerError): string {
  switch (code) {
    case 192: // UNKNOWN_USER
    case 193: // WRONG_PASSWORD
    case 194: // REQUIRED_PASSWORD
    case 516: // AUTHENTICATION_FAILED
      return `${PRODUCT} rejected the login: check user and password`;
    case 81: // UNKNOWN_DATABASE
      return `${text}: create the database first`;
    case 164: // READONLY
      return `${text}: the user is read-only and needs to write`;
    case 291: // DATABASE_ACCESS_DENIED
    case 497: // ACCESS_DENIED
      return `${text}: the user needs more rights`;
    case 60: // UNKNOWN_TABLE
    case 16: // NO_SUCH_COLUMN_IN_TABLE
    case 47: // UNKNOWN_IDENTIFIER
      return `${text}: run "emqx-offline-store migrate"`;
    default:
      return `${text} (code ${code})`;
  }
}

function explainConnection(error: unknown): string {
  const cause = error instanceof AggregateError ? (error.errors[0] ?? error) : error;
  const code = String((cause as { code?: unknown }).code ?? '');
  const text = oneLine(errorText(cause)) || code;
  if (/^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT)$/.test(code)) {
    return `cannot connect to ${PRODUCT} (${text}): check host and port`;
  }
  if (/CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS/.test(code))
    return `the certificate of ${PRODUCT} is not trusted (${text}): check host, and ca=`;
  if (/^(EPROTO|ERR_SSL)/.test(code)) return `no TLS at this port (${code}): check port and tls=`;
  if (/^(ECONNRESET|EPIPE)$/.test(code) || /socket hang up|Parse Error/.test(text))
    return `${PRODUCT} ended the connection (${text}): check port and tls=`;
  return text;
}
