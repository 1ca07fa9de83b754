import { RefusedError } from '../base/errors';
import { DEFAULT_BACKOFF, withRetries, type Backoff } from './backoff';
import { HttpConnection, type HttpAnswer, type HttpOptions, type HttpRequest } from './http';
import { pathSegment } from './path-segment';
import type { Json } from './resource-diff';
import { codeOf, isObject, parseJson, reasonOf, rejected } from './v5-answer';

/** EMQX starts a new connector before it answers, and waits 5 s if it can't connect. A cluster takes longer. */
const TIMEOUT_MS = 20_000;
const PAGE = 100;

export type Kind = 'connector' | 'action' | 'rule';

export interface ResourceOptions extends HttpOptions {
  readonly backoff?: Partial<Backoff>;
}

/**
 * Connectors, actions and rules of EMQX 5.4 and later, one at a time, as in the source of EMQX's REST API
 * (emqx_connector_api, emqx_bridge_v2_api, emqx_rule_engine_api).
 */
export class ResourcesV5 {
  private readonly http: HttpConnection;
  private readonly backoff: Backoff;
  private readonly closing = new AbortController();

  constructor(options: ResourceOptions) {
    this.http = new HttpConnection(options);
    this.backoff = { ...DEFAULT_BACKOFF, ...options.backoff };
  }

  /** @returns null if EMQX has none of this name. */
  get(kind: Kind, name: string): Promise<Json | null> {
    return this.read(pathOf(kind, name), (answer) => {
      if (answer.status === 404 && codeOf(answer.body) === 'NOT_FOUND' && !isUnknownPath(answer)) return null;
      return objectIn(answer, this.http.shownUrl);
    });
  }

  async create(kind: Kind, name: string, body: Json): Promise<void> {
    const id = kind === 'rule' ? { id: name } : { type: 'http', name };
    await this.write({ method: 'POST', path: `/${kind}s`, body: { ...id, ...body } }, labelOf(kind, name));
  }

  async update(kind: Kind, name: string, body: Json): Promise<void> {
    await this.write({ method: 'PUT', path: pathOf(kind, name), body }, labelOf(kind, name));
  }

  async remove(kind: Kind, name: string): Promise<void> {
    await this.write({ method: 'DELETE', path: pathOf(kind, name) }, labelOf(kind, name));
  }

  actions(): Promise<Json[]> {
    return this.list('/actions');
  }

  async rules(): Promise<Json[]> {
    const rules: Json[] = [];
    for (let page = 1; ; page++) {
      const found = await this.list(`/rules?page=${page}&limit=${PAGE}`);
      rules.push(...found);
      if (found.length < PAGE) return rules;
    }
  }

  /** How many of an action's requests succeeded and failed since EMQX started it. */
  metrics(action: string): Promise<{ readonly success: number; readonly failed: number }> {
    return this.read(`${pathOf('action', action)}/metrics`, (answer) => {
      const { metrics } = objectIn(answer, this.http.shownUrl);
      const count = (key: string): number => (isObject(metrics) && typeof metrics[key] === 'number' ? metrics[key] : 0);
      return { success: count('success'), failed: count('failed') + count('dropped') };
    });
  }

  /**
   * Runs a rule and its actions with one artificial event.
   * @returns EMQX's answer, whatever it is.
   */
  testRule(rule: string, context: Json): Promise<HttpAnswer> {
    return this.exchange('POST', `${pathOf('rule', rule)}/test`, { context, stop_action_after_template_rendering: false });
  }

  close(): void {
    this.closing.abort(new Error('closed'));
    this.http.close();
  }

  private list(path: string): Promise<Json[]> {
    return this.read(path, (answer) => {
      const json = parseJson(answer.body);
      const items = isObject(json) ? json['data'] : json;
      if (answer.status !== 200 || !Array.isArray(items)) throw rejected(answer, this.http.shownUrl);
      return items.filter(isObject);
    });
  }

  private read<T>(path: string, read: (answer: HttpAnswer) => T): Promise<T> {
    return withRetries(this.backoff, this.closing.signal, async () => read(await this.exchange('GET', path)));
  }

  /** Sent only once. If the answer is lost, the next run of the command sees the result. */
  private async write({ method, path, body }: { method: HttpRequest['method']; path: string; body?: Json }, what: string): Promise<void> {
    const answer = await this.exchange(method, path, body);
    if (answer.status >= 200 && answer.status < 300) return;
    // Another user has removed it meanwhile.
    if (method === 'DELETE' && answer.status === 404) return;
    if (answer.status === 400) throw new RefusedError(`EMQX refused the ${what}: ${reasonOf(answer)}`);
    throw rejected(answer, this.http.shownUrl);
  }

  private exchange(method: HttpRequest['method'], path: string, body?: Json): Promise<HttpAnswer> {
    const { signal } = this.closing;
    return this.http.exchange({ method, path, timeoutMs: TIMEOUT_MS, signal, ...(body !== undefined && { body: JSON.stringify(body) }) });
  }
}

/** EMQX's name of the resource, for example `connector http:offline_store`. */
export function labelOf(kind: Kind, name: string): string {
  return kind === 'rule' ? `rule ${name}` : `${kind} http:${name}`;
}

function pathOf(kind: Kind, name: string): string {
  return `/${kind}s/${pathSegment(kind === 'rule' ? name : `http:${name}`)}`;
}

/** EMQX gives an unknown path the same code as an unknown resource (emqx_dashboard_not_found). */
function isUnknownPath({ status, body }: HttpAnswer): boolean {
  const json = parseJson(body);
  return status === 404 && isObject(json) && json['message'] === 'Request Path Not Found';
}

function objectIn(answer: HttpAnswer, url: string): Json {
  const json = parseJson(answer.body);
  if (isUnknownPath(answer)) throw new RefusedError(`${url} has no connectors and actions: this needs EMQX 5.4 or later`);
  if (answer.status !== 200 || !isObject(json)) throw rejected(answer, url);
  return json;
}
