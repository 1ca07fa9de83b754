type Json = Record<string, unknown>;

/** EMQX's configuration, as far as rules need it. */
export interface Installed {
  readonly connectors: Record<string, Json>;
  readonly actions: Record<string, Json>;
  readonly rules: Record<string, Json>;
}

export const NOTHING_INSTALLED: Installed = { connectors: {}, actions: {}, rules: {} };

export const NOT_FOUND = { status: 404, body: { code: 'NOT_FOUND', message: 'not found' } };

/** What an action's requests came to. */
export interface Counts {
  readonly success: number;
  readonly failed: number;
}

/** PUT /configs?mode=merge. */
export function merged(installed: Installed, config: Json): Installed {
  const part = (...keys: string[]): Record<string, Json> =>
    keys.reduce<unknown>((json, key) => (json as Json | undefined)?.[key], config) as Record<string, Json>;
  return {
    connectors: { ...installed.connectors, ...part('connectors', 'http') },
    actions: { ...installed.actions, ...part('actions', 'http') },
    rules: { ...installed.rules, ...part('rule_engine', 'rules') },
  };
}

/** The lists of what is installed, as EMQX's source answers them, and an action's metrics. null: another route. */
export function answerRules(
  installed: Installed,
  route: string,
  counts: (action: string) => Counts,
): { status: number; body: unknown } | null {
  const [path = '', query = ''] = route.split('?');
  const [, kind] = /^GET \/(connectors|actions)$/.exec(path) ?? [];
  if (kind !== undefined)
    return {
      status: 200,
      body: Object.entries(installed[kind as keyof Installed]).map(([name, each]) =>
        viewOf(kind as keyof Installed, name, each, installed),
      ),
    };
  if (path === 'GET /rules') return { status: 200, body: rulesPage(installed, new URLSearchParams(query)) };
  const [, id = ''] = /^GET \/actions\/([^/]+)\/metrics$/.exec(path) ?? [];
  const [type, name = ''] = decodeURIComponent(id).split(':');
  if (type !== 'http') return null;
  const { success, failed } = counts(name);
  const metrics = { matched: 10, success: 10 + success, failed, dropped: 0, 'dropped.queue_full': 0, retried: 3 };
  return { status: 200, body: { metrics, node_metrics: [{ node: NODE, metrics }] } };
}

/** What EMQX shows of one: its defaults filled in, its status, secrets hidden. */
export function viewOf(kind: keyof Installed, name: string, each: Json, installed: Installed): Json {
  if (kind === 'connectors') return connectorView(name, each, installed);
  if (kind === 'actions') return actionView(name, each, installed);
  return { id: name, name: '', enable: true, description: '', ...each, from: [], created_at: CREATED, last_modified_at: CREATED };
}

const NODE = 'emqx@127.0.0.1';
const CREATED = '2026-11-27T09:00:00.000+00:00';
const CONNECTED = { status: 'connected', status_reason: '', node_status: [{ node: NODE, status: 'connected' }] };
const HEADERS = {
  accept: 'application/json',
  'cache-control': 'no-cache',
  connection: 'keep-alive',
  'content-type': 'application/json',
  'keep-alive': 'timeout=5',
};

function connectorView(name: string, connector: Json, { actions }: Installed): Json {
  const defaults = { enable: true, description: '', pool_type: 'random', pool_size: 8, connect_timeout: '15s', enable_pipelining: 100 };
  return {
    ...{ type: 'http', name, ...defaults, ...connector },
    headers: hidden((connector['headers'] ?? HEADERS) as Json),
    ssl: { verify: 'verify_none', depth: 10, ...(connector['ssl'] as Json | undefined) },
    resource_opts: { health_check_interval: '15s', start_timeout: '5s', ...(connector['resource_opts'] as Json | undefined) },
    actions: Object.keys(actions).filter((action) => actions[action]?.['connector'] === name),
    sources: [],
    ...CONNECTED,
  };
}

function actionView(name: string, action: Json, { rules }: Installed): Json {
  const resource = {
    request_ttl: '45s',
    query_mode: 'async',
    max_buffer_bytes: '256MB',
    inflight_window: 100,
    ...(action['resource_opts'] as Json | undefined),
  };
  const users = Object.keys(rules).filter((id) => (rules[id]?.['actions'] as string[]).includes(`http:${name}`));
  return { type: 'http', name, enable: true, description: '', ...CONNECTED, ...action, resource_opts: resource, rules: users };
}

function rulesPage(installed: Installed, query: URLSearchParams): Json {
  const [page, limit] = [Number(query.get('page') ?? 1), Number(query.get('limit') ?? 100)];
  const all = Object.entries(installed.rules).map(([id, rule]) => viewOf('rules', id, rule, installed));
  return {
    data: all.slice((page - 1) * limit, page * limit),
    meta: { page, limit, count: all.length, hasnext: page * limit < all.length },
  };
}

/** emqx_utils_redact. */
function hidden(headers: Json): Json {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, /^(proxy-)?authorization$/i.test(name) ? '******' : value]),
  );
}
