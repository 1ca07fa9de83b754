import { Agent as HttpAgent, request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { tlsOf, type TlsOptions } from '../../config/tls';
import { authorityOf, type ServiceUrl } from '../../config/url';
import { RetryableError } from '../../base/errors';
import { responseTo } from '../../base/http-response';
import { clip, explainConnection } from './explain';
import { onlyHost, SETTING } from './settings';

export interface HttpRequest {
  readonly method: 'GET' | 'POST';
  /** Percent-encoded, with a leading slash. */
  readonly path: string;
  readonly contentType?: string;
  readonly body?: string;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** The time limit of the whole exchange (ms). */
const TIMEOUT_MS = 30_000;

/** Servers and proxies close connections that were idle for a minute, so the client closes them earlier (ms). */
const IDLE_MS = 30_000;

/** Answers are short. The limit keeps a wrong server from filling the memory. */
const MAX_ANSWER_BYTES = 1_000_000;

/**
 * An HTTP server with keep-alive connections, basic authentication and TLS (`?tls=true`, `?ca=FILE`). It does not
 * retry, because the caller repeats.
 */
export class HttpServer {
  /** The product and its address, as messages show it. */
  readonly shown: string;
  private readonly tls: TlsOptions | null;
  private readonly host: string;
  private readonly port: number;
  private readonly authorization: string | null;
  private readonly agent: HttpAgent;

  constructor(url: ServiceUrl, product: string, defaultPort: number) {
    const { host, port } = onlyHost(url);
    this.host = host;
    this.port = port ?? defaultPort;
    this.shown = `${product} at ${authorityOf({ host, port: this.port })}`;
    this.tls = tlsOf(url, SETTING);
    const { user, password } = url;
    this.authorization =
      user === null && password === null ? null : `Basic ${Buffer.from(`${user ?? ''}:${password ?? ''}`).toString('base64')}`;
    const options = { keepAlive: true, timeout: IDLE_MS };
    this.agent = this.tls === null ? new HttpAgent(options) : new HttpsAgent({ ...options, ...this.tls });
  }

  /**
   * @returns any answer, whatever its status.
   * @throws RetryableError if there is no answer
   */
  async exchange(asked: HttpRequest): Promise<HttpAnswer> {
    const request = this.open(asked);
    const timer = setTimeout(() => request.destroy(new Error(`no answer within ${TIMEOUT_MS / 1_000} s`)), TIMEOUT_MS);
    try {
      return await answerOf(request, asked.body);
    } catch (error) {
      throw new RetryableError(explainConnection(error, this.shown), { cause: error });
    } finally {
      clearTimeout(timer);
    }
  }

  /** The error for an answer that is neither a success nor about the content. */
  trouble({ status }: HttpAnswer, said: string): RetryableError {
    const words = clip(said);
    if (status === 401 || status === 403)
      return new RetryableError(`${this.shown} rejected the login (${status} ${words}): check user, password and rights`);
    if (status === 429 || status >= 500) return new RetryableError(`${this.shown} is in trouble (${status} ${words})`);
    return new RetryableError(`${this.shown} answered ${status} ${words}: check host and port`);
  }

  close(): void {
    this.agent.destroy();
  }

  private open({ method, path, contentType = 'text/plain; charset=utf-8', body }: HttpRequest): ClientRequest {
    const headers: Record<string, string | number> = {};
    if (this.authorization !== null) headers['authorization'] = this.authorization;
    if (body !== undefined) Object.assign(headers, { 'content-type': contentType, 'content-length': Buffer.byteLength(body) });
    const request = this.tls === null ? httpRequest : httpsRequest;
    return request({ host: this.host, port: this.port, path, method, headers, agent: this.agent });
  }
}

async function answerOf(request: ClientRequest, body: string | undefined): Promise<HttpAnswer> {
  const response = await responseTo(request, body);
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) throw new Error('the answer is too long');
    chunks.push(chunk);
  }
  return { status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks).toString() };
}
