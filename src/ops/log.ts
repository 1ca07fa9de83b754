import pino, { type DestinationStream, type Logger } from 'pino';

export type { Logger } from 'pino';

/** Keys whose values never reach the log, at the top of a line and one and two levels below. */
const SECRET_KEYS = ['password', 'secret', 'token', 'authorization', 'apiSecret', 'ingestToken', 'adminToken', 'signingKey'];

export interface LogOptions {
  readonly level?: pino.LevelWithSilent;
  readonly destination?: DestinationStream;
}

/** One JSON object per line: a client id or topic with newlines in it is escaped and can't forge a line. */
export function createLogger(options: LogOptions = {}): Logger {
  const settings: pino.LoggerOptions = {
    level: options.level ?? 'info',
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths: SECRET_KEYS.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]), censor: '***' },
  };
  return options.destination === undefined ? pino(settings) : pino(settings, options.destination);
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
