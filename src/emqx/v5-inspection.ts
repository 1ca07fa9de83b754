import type { HttpAnswer } from './http';
import type { ClientsView, InstalledAction, InstalledConnector, InstalledRule, Inspection } from './inspection';
import { printIn } from './token-print';
import { isObject, parseJson, rejected } from './v5-answer';
import { mountpointOf } from './v5-sessions';

const PAGE = 100;
const CLIENTS = 1_000;

export interface InspectionV5Deps {
  /** GET under EMQX_URL, with retries. `read` throws RetryableError for an answer that decides nothing. */
  readonly get: <T>(path: string, read: (answer: HttpAnswer) => T) => Promise<T>;
  readonly shownUrl: string;
  readonly now: () => number;
}

type Json = Record<string, unknown>;

/** Reads /rules, /actions and /connectors of EMQX 5.4 and later. */
export class InspectionV5 implements Inspection {
  constructor(private readonly deps: InspectionV5Deps) {}

  clockAhead(): Promise<number | null> {
    return this.deps.get('/nodes', (answer) => {
      if (answer.status !== 200) throw rejected(answer, this.deps.shownUrl);
      const date = Date.parse(answer.date ?? '');
      return Number.isNaN(date) ? null : date + 500 - this.deps.now();
    });
  }

  async rules(): Promise<InstalledRule[]> {
    const connectors = (await this.list('/connectors')).map(connectorOf);
    const actions = new Map<string, InstalledAction>();
    for (const json of (await this.list('/actions')).filter(({ type }) => type === 'http')) {
      const connector = connectors.find(({ name }) => name === json['connector']) ?? null;
      actions.set(`http:${text(json['name'])}`, actionOf(json, connector, await this.lost(text(json['name']))));
    }
    const rules = (await this.allRules()).map((rule) => ruleOf(rule, actions));
    return rules.filter((rule) => rule.actions.length > 0);
  }

  async clients(): Promise<ClientsView> {
    const all = await this.list(`/clients?limit=${CLIENTS}`);
    const mounted = all
      .map((json) => ({ clientid: text(json['clientid']), ...mountpointOf(json) }))
      .find(({ mountpoint }) => mountpoint !== undefined);
    const durable = all.filter((json) => json['durable'] === true).length;
    return {
      count: all.length,
      durable,
      mounted: mounted?.mountpoint === undefined ? null : { clientid: mounted.clientid, mountpoint: mounted.mountpoint },
    };
  }

  private async allRules(): Promise<Json[]> {
    const rules: Json[] = [];
    for (let page = 1; ; page++) {
      const found = await this.list(`/rules?page=${page}&limit=${PAGE}`);
      rules.push(...found);
      if (found.length < PAGE) return rules;
    }
  }

  /**
   * Events that EMQX lost. `failed`: answered with a status that EMQX does not retry. `dropped`: expired, or the buffer
   * was full.
   */
  private lost(name: string): Promise<number> {
    return this.deps.get(`/actions/${encodeURIComponent(`http:${name}`)}/metrics`, (answer) => {
      const json = parseJson(answer.body);
      const metrics = answer.status === 200 && isObject(json) ? child(json, 'metrics') : {};
      return number(metrics['failed']) + number(metrics['dropped']);
    });
  }

  private list(path: string): Promise<Json[]> {
    return this.deps.get(path, (answer) => {
      const json = parseJson(answer.body);
      const items = isObject(json) ? json['data'] : json;
      if (answer.status !== 200 || !Array.isArray(items)) throw rejected(answer, this.deps.shownUrl);
      return items.filter(isObject);
    });
  }
}

function ruleOf(json: Json, actions: ReadonlyMap<string, InstalledAction>): InstalledRule {
  const own = Array.isArray(json['actions']) ? json['actions'] : [];
  return {
    id: text(json['id']),
    enabled: json['enable'] !== false,
    sql: text(json['sql']),
    actions: own.flatMap((id) => actions.get(String(id)) ?? []),
  };
}

function actionOf(json: Json, connector: InstalledConnector | null, lost: number): InstalledAction {
  const parameters = child(json, 'parameters');
  return {
    name: text(json['name']),
    enabled: json['enable'] !== false,
    status: text(json['status']),
    reason: text(json['status_reason']),
    path: text(parameters['path']),
    requestTtl: text(child(json, 'resource_opts')['request_ttl']),
    hasToken: hasToken(parameters),
    lost,
    connector,
  };
}

function connectorOf(json: Json): InstalledConnector {
  const print = printIn(text(json['description']));
  const own = {
    name: text(json['name']),
    enabled: json['enable'] !== false,
    url: text(json['url']),
    poolType: text(json['pool_type']),
    hasToken: hasToken(json),
  };
  return { ...own, ...(print !== null && { tokenPrint: print }) };
}

/** EMQX shows that there is a token, but not which. */
function hasToken(json: Json): boolean {
  return Object.keys(child(json, 'headers')).some((name) => name.toLowerCase() === 'authorization');
}

function child(json: Json, key: string): Json {
  const value = json[key];
  return isObject(value) ? value : {};
}

const text = (value: unknown): string => (typeof value === 'string' || typeof value === 'number' ? String(value) : '');
const number = (value: unknown): number => (typeof value === 'number' ? value : 0);
