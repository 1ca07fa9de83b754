/**
 * The closed set of errors that cross a module's edge. Every driver maps what its client library throws into one of the
 * first two; anything else that reaches a worker is a bug of ours.
 */

/** A transient trouble of something we depend on: the same work, tried again later, may succeed. */
export class RetryableError extends Error {
  override readonly name: string = 'RetryableError';
}

/** What we depend on is away, before anything was done: the caller gets 503 and EMQX sends the event again. */
export class UnavailableError extends RetryableError {
  override readonly name: string = 'UnavailableError';
}

/** More is coming than can be taken: the caller gets 429 and EMQX sends the event again. */
export class OverloadedError extends RetryableError {
  override readonly name: string = 'OverloadedError';
}

/** The other side will never take this content: trying again is useless, the item goes to the dead letters. */
export class RefusedError extends Error {
  override readonly name: string = 'RefusedError';
}

/** A setting is wrong; `key` names it, the message says what to do. */
export class SettingError extends Error {
  override readonly name = 'SettingError';
  constructor(
    readonly key: string,
    message: string,
  ) {
    super(`${key}: ${message}`);
  }
}

/** Used after close(): a bug of the caller. */
export class ClosedError extends Error {
  override readonly name = 'ClosedError';
}

export function errorText(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}
