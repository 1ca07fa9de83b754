import pino, { type DestinationStream, type Logger } from 'pino';

export type { Logger } from 'pino';

/** Keys whose values never reach the log, at the top of a line and one and two levels below. */
const SECRET_KEYS = ['password', 'secret', 'token', 'authorization', 'apiSecret', 'ingestToken', 'adminToken', 'readToken', 'signingKey'];

export interface LogOptions {
  readonly level?: pino.LevelWithSilent;
  readonly destination?: DestinationStream;
  /** Takes what is secret out of a line. */
  readonly secrets?: { hide(text: string): string };
}

/** One JSON object per line: a client id or topic with newlines in it is escaped and can't forge a line. */
export function createLogger(options: LogOptions = {}): Logger {
  const { secrets } = options;
  const settings: pino.LoggerOptions = {
    level: options.level ?? 'info',
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    serializers: { err: errorView },
    ...(secrets !== undefined && { hooks: { streamWrite: (line: string) => secrets.hide(line) } }),
    redact: { paths: SECRET_KEYS.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]), censor: '***' },
  };
  return options.destination === undefined ? pino(settings) : pino(settings, options.destination);
}

/** A chain of causes may be a circle. */
const MAX_CAUSES = 3;

interface ErrorView {
  readonly type: string;
  readonly message: string;
  readonly stack: string | undefined;
  readonly code?: string | number;
  readonly cause?: ErrorView;
}

/**
 * These and nothing else of an error: drivers hang what they were about to do on it: ioredis the arguments of AUTH, mysql2 the statement
 * with the payloads, and so on.
 */
function errorView(error: unknown): ErrorView | string {
  return error instanceof Error ? viewOf(error, MAX_CAUSES) : String(error);
}

function viewOf(error: Error, causes: number): ErrorView {
  const { code, cause } = error as { code?: unknown; cause?: unknown };
  return {
    type: error.name,
    message: error.message,
    stack: error.stack,
    ...((typeof code === 'string' || typeof code === 'number') && { code }),
    ...(cause instanceof Error && causes > 0 && { cause: viewOf(cause, causes - 1) }),
  };
}

/** Wraps a log call so that it runs at most once per `ms`; it is told how many calls were left out since. */
export function atMostEvery(ms: number, call: (fields: object, unlogged: number) => void): (fields: object) => void {
  let last = -Infinity;
  let unlogged = 0;
  return (fields) => {
    const now = performance.now();
    if (now - last < ms) {
      unlogged++;
      return;
    }
    call(fields, unlogged);
    last = now;
    unlogged = 0;
  };
}
