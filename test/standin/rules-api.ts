type Json = Record<string, unknown>;

/** EMQX's configuration, as far as rules need it. */
export interface Installed {
  readonly connectors: Record<string, Json>;
  readonly actions: Record<string, Json>;
  readonly rules: Record<string, Json>;
}

export const NOTHING_INSTALLED: Installed = { connectors: {}, actions: {}, rules: {} };

/** PUT /configs?mode=merge. */
export function merged(installed: Installed, config: Json): Installed {
  const part = (...keys: string[]): Record<string, Json> => keys.reduce<unknown>((json, key) => (json as Json | undefined)?.[key], config) as Record<string, Json>;
  return {
    connectors: { ...installed.connectors, ...part('connectors', 'http') },
    actions: { ...installed.actions, ...part('actions', 'http') },
    rules: { ...installed.rules, ...part('rule_engine', 'rules') },
  };
}

/** What EMQX's source answers to these, defaults filled in and secrets hidden. `lost` by action. null: another route. */
export function answerRules({ connectors, actions, rules }: Installed, route: string, lost: Readonly<Record<string, number>>): { status: number; body: unknown } | null {
  const [path = '', query = ''] = route.split('?');
  if (path === 'GET /connectors') return { status: 200, body: Object.entries(connectors).map(([name, each]) => connectorView(name, each)) };
  if (path === 'GET /actions') return { status: 200, body: Object.entries(actions).map(([name, each]) => actionView(name, each)) };
  if (path === 'GET /rules') return { status: 200, body: rulesPage(rules, new URLSearchParams(query)) };
  const [, id = ''] = /^GET \/actions\/([^/]+)\/metrics$/.exec(path) ?? [];
  const [type, name = ''] = decodeURIComponent(id).split(':');
  if (type !== 'http') return null;
  const metrics = { matched: 10, success: 10, failed: lost[name] ?? 0, dropped: 0, 'dropped.queue_full': 0, retried: 3 };
  return { status: 200, body: { metrics, node_metrics: [{ node: 'emqx@127.0.0.1', metrics }] } };
}

function connectorView(name: string, connector: Json): Json {
  return { type: 'http', name, ...{ enable: true, pool_type: 'random', pool_size: 8 }, ...connector, headers: hidden(connector['headers']), status: 'connected', status_reason: '' };
}

function actionView(name: string, action: Json): Json {
  const resource = { request_ttl: '45s', query_mode: 'async', max_buffer_bytes: '256MB', ...(action['resource_opts'] as Json | undefined) };
  return { type: 'http', name, enable: true, status: 'connected', status_reason: '', ...action, resource_opts: resource };
}

function rulesPage(rules: Installed['rules'], query: URLSearchParams): Json {
  const [page, limit] = [Number(query.get('page') ?? 1), Number(query.get('limit') ?? 100)];
  const all = Object.entries(rules).map(([id, rule]) => ({ id, name: '', enable: true, ...rule }));
  return { data: all.slice((page - 1) * limit, page * limit), meta: { page, limit, count: all.length, hasnext: page * limit < all.length } };
}

function hidden(headers: unknown): Json {
  return Object.fromEntries(Object.keys((headers ?? {}) as Json).map((name) => [name, '******']));
}
