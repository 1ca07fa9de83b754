import pino, { type DestinationStream, type Logger } from 'pino';
import { isExpected } from './dependency';
import { textLine } from './log-text';

export type { Logger } from 'pino';

/** The values of LOG_LEVEL, from the most lines to none. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
/** The values of LOG_FORMAT. */
export const LOG_FORMATS = ['json', 'text'] as const;

export interface LogSettings {
  readonly level: (typeof LOG_LEVELS)[number];
  readonly format: (typeof LOG_FORMATS)[number];
}

/** Keys whose values never reach the log, at the top of a line and one and two levels below. */
const SECRET_KEYS = ['password', 'secret', 'token', 'authorization', 'apiSecret', 'ingestToken', 'adminToken', 'readToken', 'signingKey'];

export interface LogOptions extends Partial<LogSettings> {
  readonly destination?: DestinationStream;
  /** Takes what is secret out of a line. */
  readonly secrets?: { hide(text: string): string };
}

/**
 * One record per line, written before the call returns. A client id or a topic with newlines is escaped in both formats, so it cannot
 * forge a line.
 */
export function createLogger(options: LogOptions = {}): Logger {
  const { secrets, format = 'json' } = options;
  const hide = (line: string): string => secrets?.hide(line) ?? line;
  const settings: pino.LoggerOptions = {
    level: options.level ?? 'info',
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    serializers: { err: errorView },
    hooks: { streamWrite: (line: string) => (format === 'json' ? hide(line) : hide(textLine(hide(line)))) },
    redact: { paths: SECRET_KEYS.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]), censor: '***' },
  };
  return options.destination === undefined ? pino(settings) : pino(settings, options.destination);
}

/** A chain of causes may be a circle. */
const MAX_CAUSES = 3;

interface ErrorView {
  readonly type: string;
  readonly message: string;
  readonly stack?: string;
  readonly code?: string | number;
  readonly cause?: ErrorView;
}

/**
 * What the log shows of an error. It leaves out all other properties, because drivers put secrets and payloads there:
 * ioredis the arguments of AUTH, mysql2 the statement. Only an unexpected error, which is a bug, is shown with its stack.
 */
function errorView(error: unknown): ErrorView | string {
  return error instanceof Error ? viewOf(error, MAX_CAUSES, !isExpected(error)) : String(error);
}

function viewOf(error: Error, causes: number, hasStack: boolean): ErrorView {
  const { code, cause } = error as { code?: unknown; cause?: unknown };
  return {
    type: error.name,
    message: error.message,
    ...(hasStack && error.stack !== undefined && { stack: error.stack }),
    ...((typeof code === 'string' || typeof code === 'number') && { code }),
    ...(cause instanceof Error && causes > 0 && { cause: viewOf(cause, causes - 1, hasStack) }),
  };
}

/**
 * Wraps a log call so that it runs at most once per `ms` for each kind. The call is told in its fields how many lines
 * of the kind were left out since the last one: `suppressed`, absent when there were none.
 */
export function atMostEvery<T extends object>(ms: number, call: (fields: T) => void): (fields: T, kind?: string) => void {
  const kinds = new Map<string, { last: number; suppressed: number }>();
  return (fields, kind = '') => {
    const now = performance.now();
    const before = kinds.get(kind) ?? { last: -Infinity, suppressed: 0 };
    if (now - before.last < ms) {
      before.suppressed++;
      return;
    }
    call(before.suppressed === 0 ? fields : { ...fields, suppressed: before.suppressed });
    kinds.delete(kind);
    kinds.set(kind, { last: now, suppressed: 0 });
    // The kind that was logged the longest ago is forgotten.
    for (const oldest of kinds.keys()) if (kinds.size > MOST_KINDS) kinds.delete(oldest);
  };
}

const MOST_KINDS = 100;
