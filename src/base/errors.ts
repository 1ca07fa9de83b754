/**
 * All errors that one module throws to another. Every driver maps the errors of its client library to one of the first
 * two kinds. Any other error that reaches a worker is a bug of the server.
 */

/** Temporary trouble of a service that the server depends on. The same work may succeed later. */
export class RetryableError extends Error {
  override readonly name: string = 'RetryableError';
}

/** A service is away, and nothing was done yet. The caller gets 503, and EMQX sends the event again. */
export class UnavailableError extends RetryableError {
  override readonly name: string = 'UnavailableError';
}

/** More requests arrive than can be accepted. The caller gets 429, and EMQX sends the event again. */
export class OverloadedError extends RetryableError {
  override readonly name: string = 'OverloadedError';
}

/** The other side will never accept this content. Trying again is useless, so the item goes to the dead letters. */
export class RefusedError extends Error {
  override readonly name: string = 'RefusedError';
}

/** A setting is wrong. `key` names the setting, and the message says what to do. */
export class SettingError extends Error {
  override readonly name = 'SettingError';
  constructor(
    readonly key: string,
    message: string,
  ) {
    super(`${key}: ${message}`);
  }
}

/** An object was used after close(), which is a bug of the caller. */
export class ClosedError extends Error {
  override readonly name = 'ClosedError';
}

/**
 * Node.js 24 adds this advice to errors about certificates. It is left out, because each caller says which setting names the certificate
 * authority.
 */
const ADVICE = '; if the root CA is installed locally, try running Node.js with --use-system-ca';

export function errorText(error: unknown): string {
  return (error instanceof Error ? error.message || error.name : String(error)).replace(ADVICE, '');
}
