import { ClosedError, errorText, RefusedError, RetryableError } from '../../base/errors';

/** DynamoDB's messages about an item that it will never accept. Other ValidationExceptions concern the tables. */
const ABOUT_THE_ITEM = /item size|exceeded the|maximum allowed size|must be under|empty (string|binary) value|nesting/i;

const NETWORK = ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT', 'EPIPE'];
const CERTIFICATE = /^(UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|CERT_|ERR_TLS_CERT)/;

export function mapError(error: unknown): Error {
  if (error instanceof RefusedError || error instanceof RetryableError || error instanceof ClosedError) return error;
  if (isNamed(error, 'ValidationException') && ABOUT_THE_ITEM.test(errorText(error))) return new RefusedError(oneLine(error));
  // All other errors pass with time or with an operator's help: away, throttled, missing rights, missing table.
  return new RetryableError(explain(error), { cause: error });
}

export function isNamed(error: unknown, name: string): error is Error {
  return error instanceof Error && error.name === name;
}

/**
 * The SDK wraps network errors, and a host with several addresses fails with one error per address. The first one is
 * enough.
 */
function causeOf(error: unknown): unknown {
  return error instanceof AggregateError ? (error.errors[0] ?? error) : error;
}

function explain(error: unknown): string {
  const cause = causeOf(error);
  const { name, code } = cause as { name?: unknown; code?: unknown };
  const words = oneLine(cause);
  if (typeof code === 'string') {
    if (CERTIFICATE.test(code)) return `the endpoint's certificate is not trusted (${words}): name its authority with ca=`;
    if (code === 'EPROTO') return 'the endpoint speaks no TLS (EPROTO): write endpoint= with http://';
    if (code === 'ECONNRESET')
      return `DynamoDB broke the connection off (${words}): check endpoint=, whether it is https:// or http:// too`;
    if (name === 'TimeoutError') return `DynamoDB does not answer (${code}): check the region and endpoint=`;
    if (NETWORK.includes(code)) return `cannot connect to DynamoDB (${words || code}): check the region and endpoint=`;
  }
  switch (name) {
    case 'TimeoutError':
      return 'DynamoDB does not answer: check the region and endpoint=';
    case 'CredentialsProviderError':
    case 'TokenProviderError':
      return `no AWS credentials (${words}): write ACCESS_KEY:SECRET@ before the region, or provide them to the AWS default chain`;
    case 'UnrecognizedClientException':
    case 'InvalidSignatureException':
    case 'IncompleteSignatureException':
    case 'MissingAuthenticationTokenException':
    case 'ExpiredTokenException':
      return `DynamoDB rejected the login (${words}): check access key and secret`;
    case 'AccessDeniedException':
      return `${words}: the user needs more rights`;
    case 'ResourceNotFoundException':
      return `a table is missing (${words}): check region and prefix=, or run "emqx-offline-store migrate"`;
    default:
      return typeof name === 'string' && name.endsWith('Exception') ? `${words} (${name})` : words;
  }
}

function oneLine(error: unknown): string {
  return errorText(error).replace(/\s+/g, ' ').trim();
}
