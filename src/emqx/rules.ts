import { SettingError } from '../base/errors';
import { ruleNames, ruleSql, type RuleName } from './rule-sql';

export { ruleNames, type RuleName } from './rule-sql';

export interface RuleOptions {
  /** This server's address as EMQX reaches it. */
  readonly url: string;
  /** Topic filters of the messages to store. */
  readonly topics: readonly string[];
  /** INGEST_TOKEN. Everybody who may read EMQX's configuration can then read it. */
  readonly token?: string;
  /**
   * The first part of the names of connector, actions and rules, so that several servers can have their own in one
   * EMQX.
   */
  readonly name?: string;
}

export const DEFAULT_NAME = 'offline';

export const ruleDefaults: RuleOptions = { url: 'http://127.0.0.1:8480', topics: ['t/#'] };

/**
 * A connector, an action and a rule in the form of EMQX's configuration (5.4 and later). `PUT /configs?mode=merge`
 * accepts it as it is.
 */
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

/**
 * EMQX's rule for names (emqx_resource:validate_name in its source). Together with the longest suffix, `_client_state`,
 * a name must fit into 254 characters.
 */
const NAME = /^[0-9A-Za-z][0-9A-Za-z_-]{0,199}$/;

/** All rule sets of one name share the connector, so importing a second set leaves it unchanged. */
export const connectorName = (name: string): string => `${name}_store`;

/** The id of the set's rule, and the name of its action. */
export const ruleId = (set: RuleName, name: string): string => `${name}_${set.replace(/^offline-/, '').replace('-', '_')}`;

/**
 * The sets that would report the same events as this one. `full` contains all others. `client-state` can be used
 * together with one of the first two.
 */
export function conflicts(set: RuleName): RuleName[] {
  const together = (other: RuleName): boolean => set !== 'full' && other !== 'full' && (set === 'client-state' || other === 'client-state');
  return ruleNames.filter((other) => other !== set && !together(other));
}

/**
 * The beginning of the description of every connector that the server's command makes. It shows that a connector was
 * made by the command.
 */
export const OURS = 'emqx-offline-store';

export const DESCRIPTIONS: Readonly<Record<RuleName, string>> = {
  'offline-messages': 'Keeps published messages, delivers them when a client subscribes, removes them when it acknowledges',
  'client-state': 'Keeps who is connected and subscribed to what',
  'offline-only': 'Keeps messages that nobody received, delivers them when a client subscribes, removes them when it acknowledges',
  full: 'offline-messages and client-state in one rule: import it in place of those',
};

/**
 * The content of `rules/emqx5/{name}.json`, with the operator's address, topics and token.
 * @throws SettingError for values that EMQX could misread.
 */
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
    // The token is on the connector, so that one token serves every action. If it is absent, a token that was imported
    // earlier stays.
    ...(token === undefined ? {} : { headers: { authorization: `Bearer ${checkedToken(token)}` } }),
    // Events are distributed by clientid. With the default `random`, 37 of 300 messages of one publisher arrived out of
    // order.
    pool_type: 'hash',
    pool_size: 8,
    connect_timeout: '15s',
    // Always written, because merging http over https would keep the old value. EMQX does not verify the certificate
    // unless the connector says so.
    ssl: { enable: address.startsWith('https:') },
    // How often EMQX tries to connect again after an outage of the server (default 15 s).
    resource_opts: { health_check_interval: '5s' },
  };
}

function actionOf(set: RuleName, connector: string): Action {
  return {
    enable: true,
    description: DESCRIPTIONS[set],
    connector,
    // Without a body template EMQX sends the selected columns as JSON.
    parameters: { method: 'post', path: '/v1/events/${event}', headers: { 'content-type': 'application/json' }, max_retries: 2 },
    resource_opts: {
      query_mode: 'async',
      // With the default of 45 s EMQX drops events in a longer outage (promise 14).
      request_ttl: 'infinity',
      // Per worker, in memory. These are EMQX's defaults. They are written because they decide how long an outage the
      // broker can bridge.
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

/** The token must fit into a header, as in config/schema.ts. In addition EMQX reads header values as templates. */
export function checkedToken(token: string): string {
  if (!/^[\x21-\x7e]+$/.test(token) || token.includes('${')) {
    throw new SettingError('INGEST_TOKEN', 'must be printable ASCII without spaces, and without ${, which EMQX would replace');
  }
  return token;
}
