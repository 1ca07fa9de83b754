import { SettingError } from '../base/errors';
import { ruleSql, type RuleName } from './rule-sql';
import {
  checkedToken,
  checkedName,
  checkedUrl,
  connectorName,
  DEFAULT_NAME,
  DESCRIPTIONS,
  ruleDefaults,
  ruleId,
  type RuleOptions,
} from './rules';

export interface RuleV4Options extends Omit<RuleOptions, 'url'> {
  /** This server's address as EMQX reaches it, and optionally the address of a second server on the same queue. */
  readonly urls: readonly string[];
}

/** What EMQX 4.4 needs: POST each of `resources` to /resources, then each of `rules` to /rules. */
export interface RuleV4Template {
  readonly resources: readonly Resource[];
  readonly rules: readonly RuleV4[];
}

interface Resource {
  readonly id: string;
  readonly type: 'web_hook';
  readonly description: string;
  readonly config: {
    readonly url: string;
    readonly method: 'POST';
    readonly connect_timeout: string;
    readonly request_timeout: string;
    readonly pool_size: number;
  };
}

interface RuleV4 {
  readonly id: string;
  readonly enabled: boolean;
  readonly description: string;
  readonly rawsql: string;
  readonly actions: readonly ActionV4[];
}

interface ActionV4 {
  readonly name: 'data_to_webserver';
  readonly params: Readonly<Record<string, unknown>>;
  /** EMQX 4 gives them an event for which the action has failed. */
  readonly fallbacks: readonly ActionV4[];
}

/** The ids of the server's resource and of the fallback's. All rule sets of one name share them. */
const resourceIds = (name: string): string[] => [connectorName(name), `${connectorName(name)}_fallback`];
const MOST_URLS = 2;
const POOL_SIZE = 8;

const ruleV4Defaults: RuleV4Options = { urls: [ruleDefaults.url], topics: ruleDefaults.topics };

/**
 * The content of `rules/emqx4/{name}.json`, with the operator's addresses, topics and token. The SQL is the same as for
 * EMQX 5.
 */
export function ruleV4Template(
  set: RuleName,
  { urls, topics, token, name = DEFAULT_NAME }: RuleV4Options = ruleV4Defaults,
): RuleV4Template {
  if (urls.length < 1 || urls.length > MOST_URLS)
    throw new SettingError('--url', 'give one address, and at most a second one to fall back to');
  const addresses = urls.map(checkedUrl);
  if (new Set(addresses).size < addresses.length)
    throw new SettingError('--url', 'is given twice with the same address; a fallback must be another server');
  const ids = resourceIds(checkedName(name));
  const resources = addresses.map((url, i) => resourceOf(ids[i] ?? '', url));
  const action = resources.reduceRight<ActionV4[]>((fallbacks, { id }) => [actionOf(id, token, fallbacks)], []);
  return {
    resources,
    rules: [{ id: ruleId(set, name), enabled: true, description: DESCRIPTIONS[set], rawsql: ruleSql(set, topics), actions: action }],
  };
}

function resourceOf(id: string, url: string): Resource {
  // EMQX 4 loses an event whose answer comes later than request_timeout.
  return {
    id,
    type: 'web_hook',
    description: 'emqx-offline-store',
    config: { url, method: 'POST', connect_timeout: '5s', request_timeout: '5s', pool_size: POOL_SIZE },
  };
}

function actionOf(resource: string, token: string | undefined, fallbacks: readonly ActionV4[]): ActionV4 {
  const headers = { 'content-type': 'application/json', ...(token !== undefined && { authorization: `Bearer ${checkedToken(token)}` }) };
  // Without a body template EMQX sends the selected columns as JSON.
  const params = {
    $resource: resource,
    method: 'POST',
    path: '/v1/events/${event}',
    headers,
    body: '',
    payload_tmpl: '',
    pool_size: POOL_SIZE,
  };
  return { name: 'data_to_webserver', params, fallbacks };
}
