import { Agent as HttpAgent, request as httpRequest, type ClientRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { errorText, RetryableError } from '../base/errors';
import { responseTo } from '../base/http-response';
import { certificateProblem } from './certificate';
import { operationOf } from './operation';

export interface HttpOptions {
  /** EMQX_URL, without a trailing slash. */
  readonly url: string;
  readonly apiKey: string;
  readonly apiSecret: string;
  /** PEM of the certificate authority that verifies EMQX's certificate; null for those that Node.js trusts. */
  readonly ca?: string | null;
  /** Hears of each exchange that was not aborted. */
  readonly observe?: (exchange: Exchange) => void;
}

/** How one request went. */
export interface Exchange {
  /** For example `POST /clients/{clientid}/subscribe`. */
  readonly operation: string;
  /** The status that EMQX answered; `no_answer`: the request was sent and nothing came back; `connection`: no connection could be made. */
  readonly outcome: number | 'no_answer' | 'connection';
  readonly seconds: number;
}

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** The path after EMQX_URL, percent-encoded, with a leading slash. */
  readonly path: string;
  /** JSON text. */
  readonly body?: string;
  /** The time limit of the whole exchange (ms). */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
  /** The date header of the answer. */
  readonly date?: string;
  /** The request as messages show it, for example `GET /nodes`. */
  readonly request?: string;
}

/**
 * EMQX closes idle connections after 60 s. The server closes them earlier (ms), because otherwise it could send a
 * publish into a connection that is being closed.
 */
const IDLE_MS = 30_000;

/** A few more than there are lanes, because each lane publishes one request at a time. */
const MAX_SOCKETS = 32;

/** The request was sent but no answer came, so EMQX may have carried it out. */
export class LostAnswerError extends RetryableError {
  override readonly name: string = 'LostAnswerError';
}

/**
 * Sends JSON over keep-alive connections with basic authentication. It does not retry, because only the caller knows
 * whether a request may be repeated.
 */
export class HttpConnection {
  /** EMQX_URL in the form that messages may show. */
  readonly shownUrl: string;
  private readonly base: URL;
  private readonly agent: HttpAgent;
  private readonly authorization: string;
  private readonly observe: (exchange: Exchange) => void;

  constructor({ url, apiKey, apiSecret, ca = null, observe = () => undefined }: HttpOptions) {
    this.observe = observe;
    this.base = new URL(url);
    this.shownUrl = `${this.base.origin}${this.base.pathname}`;
    const options = { keepAlive: true, timeout: IDLE_MS, maxSockets: MAX_SOCKETS };
    this.agent = this.base.protocol === 'https:' ? new HttpsAgent({ ...options, ...(ca !== null && { ca }) }) : new HttpAgent(options);
    this.authorization = `Basic ${Buffer.from(`${apiKey}:${apiSecret}`).toString('base64')}`;
  }

  /**
   * @returns any answer, whatever its status.
   * @throws RetryableError if there is no answer, and the signal's reason if it is aborted.
   */
  async exchange(request: HttpRequest): Promise<HttpAnswer> {
    request.signal.throwIfAborted();
    const from = performance.now();
    const tell = (outcome: Exchange['outcome']): void =>
      this.observe({ operation: operationOf(request.method, request.path), outcome, seconds: (performance.now() - from) / 1_000 });
    try {
      const answer = await this.send(request);
      tell(answer.status);
      return answer;
    } catch (error) {
      if (!request.signal.aborted) tell(error instanceof LostAnswerError ? 'no_answer' : 'connection');
      throw error;
    }
  }

  private async send({ method, path, body, timeoutMs, signal }: HttpRequest): Promise<HttpAnswer> {
    const request = this.open(method, path, body);
    let connected = false;
    request.on('socket', (socket) => {
      connected = !socket.connecting;
      // A kept-alive socket fires no further connect event, so a listener per request would pile up on it.
      if (!connected) socket.once(this.base.protocol === 'https:' ? 'secureConnect' : 'connect', () => (connected = true));
    });
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      request.destroy(new Error('timeout'));
    }, timeoutMs);
    const abort = (): void => void request.destroy(new Error('aborted'));
    signal.addEventListener('abort', abort, { once: true });
    try {
      return await answerOf(request, body);
    } catch (error) {
      signal.throwIfAborted();
      if (connected && late) throw new LostAnswerError(`EMQX_URL: no answer from ${this.shownUrl} within ${timeoutMs} ms`);
      const reason = late ? `timeout after ${timeoutMs} ms` : cause(error);
      if (connected) throw new LostAnswerError(`EMQX_URL: lost the connection to ${this.shownUrl} (${reason})`);
      throw new RetryableError(certificateProblem(error, this.shownUrl) ?? `EMQX_URL: cannot connect to ${this.shownUrl} (${reason})`);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
    }
  }

  close(): void {
    this.agent.destroy();
  }

  private open(method: string, path: string, body: string | undefined): ClientRequest {
    const request = this.base.protocol === 'https:' ? httpsRequest : httpRequest;
    const headers: Record<string, string | number> = { authorization: this.authorization, accept: 'application/json' };
    if (body !== undefined) {
      headers['content-type'] = 'application/json';
      headers['content-length'] = Buffer.byteLength(body);
    }
    return request({
      protocol: this.base.protocol,
      // URL keeps the brackets of an IPv6 address, which the resolver does not accept.
      hostname: this.base.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: this.base.port,
      path: `${this.base.pathname.replace(/\/$/, '')}${path}`,
      method,
      headers,
      agent: this.agent,
    });
  }
}

async function answerOf(request: ClientRequest, body: string | undefined): Promise<HttpAnswer> {
  const response = await responseTo(request, body);
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  const { date } = response.headers;
  return { status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8'), ...(date !== undefined && { date }) };
}

/** `localhost` fails with one error per address and an empty message, so the code is used. */
function cause(error: unknown): string {
  if (typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string') return error.code;
  return errorText(error);
}
