import { createServer, type RequestListener, type Server, type ServerOptions, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Duplex } from 'node:stream';
import type { ListenerTls } from '../config/listener-tls';
import { atMostEvery, type Logger } from '../base/log';
import { Problem, problemBody, problemHeaders } from './problem';
import { inTurns } from './turns';

/** The limits of connections, which hold before a client has shown a token. */
export interface ListenerLimits {
  /** The most bytes of all headers of a request. */
  readonly headerBytes: number;
  /** How long the headers, and a whole request, may take to arrive (ms). */
  readonly headersMs: number;
  readonly requestMs: number;
  /** How often these times are checked (ms). */
  readonly checkMs: number;
  /**
   * How long a connection without a request is kept open (ms). This is longer than the time between two events of a
   * quiet broker, because otherwise each event would need a new connection.
   */
  readonly idleMs: number;
  /** How long a TLS handshake may take (ms). */
  readonly handshakeMs: number;
  /**
   * The most open connections. A new one above this is closed at once, to leave file descriptors for the connections to
   * databases.
   */
  readonly connections: number;
}

const LISTENER_LIMITS: ListenerLimits = {
  ...{ headerBytes: 16 * 1024, headersMs: 15_000, requestMs: 60_000, checkMs: 1_000 },
  ...{ idleMs: 65_000, handshakeMs: 15_000, connections: 4_096 },
};

/** The log has at most one line about too many connections in this time (ms). */
const LOG_MS = 60_000;

export interface ListenerOptions {
  readonly tls: ListenerTls | null;
  readonly log: Logger;
  readonly limits?: Partial<ListenerLimits>;
}

/** Creates the HTTP server around the app. It enforces the limits and answers requests that Node cannot parse. */
export function createListener(app: RequestListener, { tls, log, limits: over = {} }: ListenerOptions): Server {
  const limits = { ...LISTENER_LIMITS, ...over };
  const options: ServerOptions = {
    maxHeaderSize: limits.headerBytes,
    headersTimeout: limits.headersMs,
    requestTimeout: limits.requestMs,
    connectionsCheckingInterval: limits.checkMs,
    keepAliveTimeout: limits.idleMs,
  };
  const listener = inTurns(app);
  const server =
    tls === null
      ? createServer(options, listener)
      : createTlsServer({ ...options, ...tls, handshakeTimeout: limits.handshakeMs }, listener);
  server.maxConnections = limits.connections;
  const warn = atMostEvery(LOG_MS, (fields) => log.warn(fields, 'connection closed: too many connections'));
  server.on('drop', () => warn({ connections: limits.connections }));
  answerBadRequests(server);
  return server;
}

/** Answers requests that Node cannot parse. They never reach the app, and Node's own answer has no body. */
function answerBadRequests(server: Server): void {
  const answering = new WeakMap<Duplex, ServerResponse>();
  server.on('request', (req, res) => answering.set(req.socket, res));
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    const response = answering.get(socket);
    const isUnderWay = response !== undefined && response.headersSent && !response.writableFinished;
    if (error.code === 'ECONNRESET' || !socket.writable || isUnderWay) return void socket.destroy();
    const problem = problemOf(error.code ?? '');
    const body = problemBody(problem);
    const headers = { ...problemHeaders(problem), 'Content-Length': String(Buffer.byteLength(body)), Connection: 'close' };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.end(`HTTP/1.1 ${problem.status} ${problem.kind}\r\n${lines.join('')}\r\n${body}`, () => socket.destroy());
  });
}

function problemOf(code: string): Problem {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new Problem('headers-too-large', 'The headers are larger than the limit.');
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new Problem('too-large', 'The chunk extensions are larger than the limit.');
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      // The answer is not 408, because EMQX would lose the event.
      return new Problem('unavailable', 'The request took too long to arrive. Send it again.');
    default:
      return new Problem('malformed', 'The request is not valid HTTP/1.1.');
  }
}
