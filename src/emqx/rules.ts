import { SettingError } from '../base/errors';
import { ruleNames, ruleSql, type RuleName } from './rule-sql';

export { ruleNames, type RuleName } from './rule-sql';

export interface RuleOptions {
  /** This server's address as EMQX reaches it. */
  readonly url: string;
  /** Topic filters of the messages to keep. */
  readonly topics: readonly string[];
  /** INGEST_TOKEN; it is then readable for whoever may read EMQX's configuration. */
  readonly token?: string;
  /** The names of connector, actions and rules begin with it, so that several servers can have theirs in one EMQX. */
  readonly name?: string;
}

export const DEFAULT_NAME = 'offline';

export const ruleDefaults: RuleOptions = { url: 'http://127.0.0.1:8480', topics: ['t/#'] };

/** A connector, an action and a rule in the shape of EMQX's configuration (5.4 and later): `PUT /configs?mode=merge` takes it as it is. */
export interface RuleTemplate {
  readonly connectors: { readonly http: Readonly<Record<string, Connector>> };
  readonly actions: { readonly http: Readonly<Record<string, Action>> };
  readonly rule_engine: { readonly rules: Readonly<Record<string, Rule>> };
}

export interface Connector {
  readonly enable: boolean;
  readonly description: string;
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly pool_type: 'hash';
  readonly pool_size: number;
  readonly connect_timeout: string;
  readonly ssl: { readonly enable: boolean };
  readonly resource_opts: { readonly health_check_interval: string };
}

export interface Action {
  readonly enable: boolean;
  readonly description: string;
  readonly connector: string;
  readonly parameters: {
    readonly method: 'post';
    readonly path: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly max_retries: number;
  };
  readonly resource_opts: {
    readonly query_mode: 'async';
    readonly request_ttl: 'infinity';
    readonly max_buffer_bytes: string;
    readonly inflight_window: number;
    readonly worker_pool_size: number;
    readonly health_check_interval: string;
  };
}

export interface Rule {
  readonly enable: boolean;
  readonly description: string;
  readonly sql: string;
  readonly actions: readonly string[];
}

/** EMQX's rule for names (its source: emqx_resource:validate_name). The longest suffix, `_client_state`, must fit into 254 characters, too. */
const NAME = /^[0-9A-Za-z][0-9A-Za-z_-]{0,199}$/;

/** All sets of one name share it: importing a second one leaves it as it is. */
export const connectorName = (name: string): string => `${name}_store`;

/** The id of the set's rule, and the name of its action. */
export const ruleId = (set: RuleName, name: string): string => `${name}_${set.replace(/^offline-/, '').replace('-', '_')}`;

/** Two sets that tell the server the same events. `full` has all that the others have; `client-state` goes beside the first two. */
export function conflicts(set: RuleName): RuleName[] {
  const together = (other: RuleName): boolean => set !== 'full' && other !== 'full' && (set === 'client-state' || other === 'client-state');
  return ruleNames.filter((other) => other !== set && !together(other));
}

/** What the connector's description begins with: the mark by which a connector is known to be made from here. */
export const OURS = 'emqx-offline-store';

export const DESCRIPTIONS: Readonly<Record<RuleName, string>> = {
  'offline-messages': 'Keeps published messages, delivers them when a client subscribes, removes them when it acknowledges',
  'client-state': 'Keeps who is connected and subscribed to what',
  'offline-only': 'Keeps messages that nobody received, delivers them when a client subscribes, removes them when it acknowledges',
  full: 'offline-messages and client-state in one rule: import it in place of those',
};

/** What `rules/emqx5/{name}.json` holds, with the operator's address, topics and token. Throws SettingError for what EMQX could misread. */
export function ruleTemplate(set: RuleName, options: RuleOptions = ruleDefaults): RuleTemplate {
  const name = checkedName(options.name ?? DEFAULT_NAME);
  const [id, connector] = [ruleId(set, name), connectorName(name)];
  return {
    connectors: { http: { [connector]: connectorOf(options) } },
    actions: { http: { [id]: actionOf(set, connector) } },
    rule_engine: {
      rules: { [id]: { enable: true, description: DESCRIPTIONS[set], sql: ruleSql(set, options.topics), actions: [`http:${id}`] } },
    },
  };
}

function connectorOf({ url, token }: RuleOptions): Connector {
  const address = checkedUrl(url);
  return {
    enable: true,
    description: OURS,
    url: address,
    // On the connector, so that one token serves every action; absent, a token imported earlier stays.
    ...(token === undefined ? {} : { headers: { authorization: `Bearer ${checkedToken(token)}` } }),
    // By clientid: with the default, random, 37 of 300 messages of one publisher overtook each other (facts).
    pool_type: 'hash',
    pool_size: 8,
    connect_timeout: '15s',
    // Stated for both, or a merge of http over https would keep it. EMQX does not check the certificate unless told so in the connector.
    ssl: { enable: address.startsWith('https:') },
    // After an outage of ours it is tried again this often (default 15 s).
    resource_opts: { health_check_interval: '5s' },
  };
}

function actionOf(set: RuleName, connector: string): Action {
  return {
    enable: true,
    description: DESCRIPTIONS[set],
    connector,
    // No body template: EMQX then sends the selected columns as JSON.
    parameters: { method: 'post', path: '/v1/events/${event}', headers: { 'content-type': 'application/json' }, max_retries: 2 },
    resource_opts: {
      query_mode: 'async',
      // With the default, 45 s, events are dropped in a longer outage (promise 14).
      request_ttl: 'infinity',
      // For each worker, in memory. EMQX's defaults, stated because they decide how much of an outage fits into the broker.
      max_buffer_bytes: '256MB',
      inflight_window: 100,
      worker_pool_size: 16,
      health_check_interval: '5s',
    },
  };
}

export function checkedName(name: string): string {
  if (!NAME.test(name))
    throw new SettingError(
      '--name',
      `${JSON.stringify(name)} must begin with a letter or digit and have only letters, digits, _ and -, at most 200`,
    );
  return name;
}

export function checkedUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (
    url === null ||
    (url.protocol !== 'http:' && url.protocol !== 'https:') ||
    `${url.username}${url.password}${url.search}${url.hash}` !== ''
  ) {
    throw new SettingError(
      '--url',
      `must be this server's address as EMQX reaches it, like ${ruleDefaults.url}, with nothing behind the path`,
    );
  }
  return url.href.replace(/\/+$/, '');
}

/** As config/schema.ts: what fits into a header. Beyond that, EMQX reads header values as templates. */
export function checkedToken(token: string): string {
  if (!/^[\x21-\x7e]+$/.test(token) || token.includes('${')) {
    throw new SettingError('INGEST_TOKEN', 'must be printable ASCII without spaces, and without ${, which EMQX would replace');
  }
  return token;
}
