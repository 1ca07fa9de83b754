import { createServer, type RequestListener, type Server, type ServerOptions, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Duplex } from 'node:stream';
import type { ListenerTls } from '../config/listener-tls';
import { atMostEvery, type Logger } from '../base/log';
import { Problem, problemBody, problemHeaders } from './problem';
import { inTurns } from './turns';

/** What a connection may cost before anybody has shown a token. */
export interface ListenerLimits {
  /** All headers of a request. */
  readonly headerBytes: number;
  /** How long the headers, and a whole request, may take. ms */
  readonly headersMs: number;
  readonly requestMs: number;
  /** How often that is looked at. ms */
  readonly checkMs: number;
  /** A connection without a request is kept so long: longer than between two events of a quiet broker, or each would need a new one. ms */
  readonly idleMs: number;
  readonly handshakeMs: number;
  /** What is over is closed at once; each takes a file descriptor, which the databases' connections need too. */
  readonly connections: number;
}

export const LISTENER_LIMITS: ListenerLimits = {
  ...{ headerBytes: 16 * 1024, headersMs: 15_000, requestMs: 60_000, checkMs: 1_000 },
  ...{ idleMs: 65_000, handshakeMs: 15_000, connections: 4_096 },
};

export interface ListenerOptions {
  readonly tls: ListenerTls | null;
  readonly log: Logger;
  readonly limits?: Partial<ListenerLimits>;
}

/** The HTTP server around the app: the limits of connections and of what is no request yet. */
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
  const warn = atMostEvery(1000, (fields: object, unlogged: number) =>
    log.warn({ ...fields, unlogged }, 'a connection over the limit was closed'),
  );
  server.on('drop', () => warn({ connections: limits.connections }));
  answerBadRequests(server);
  return server;
}

/** What Node's parser gives up never reaches the app; without this its answer has no body. */
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
      // Not 408: EMQX would lose the event (facts.md).
      return new Problem('unavailable', 'The request took too long to arrive. Send it again.');
    default:
      return new Problem('malformed', 'The request is not valid HTTP/1.1.');
  }
}
