import type { InstalledAction, InstalledRule } from './inspection';
import { reviewConnector, type ReviewedServer } from './connector-review';
import { flawIf, type Flaw } from './flaw';
import { ruleNames, ruleSql, type RuleName } from './rule-sql';

export type { Flaw } from './flaw';

export interface ReviewContext {
  /** Whether any policy delivers to inboxes. */
  readonly inboxes: boolean;
  /** Whether INGEST_TOKEN is set. */
  readonly token: boolean;
  /** This server according to its settings; absent if nothing is to be compared with it. */
  readonly server?: ReviewedServer;
}

const IMPORT_AGAIN = 'install a rule as shipped (emqx-offline-store rules --install)';
/** The aliases of EMQX 5.9 and later have a slash. */
const SUBSCRIBED = /\$events\/session[_/]subscribed/;
const ACKED = /\$events\/message[_/]acked/;
const DROPPED = /\$events\/message[_/]dropped/;
const CONNECTED = /\$events\/client[_/]connected/;
const DELIVERY_DROPPED = /\$events\/(message\/)?delivery_dropped/;
const EVENTS = /^\$(events|bridges|sources?)\//;

/** The parts of a rule's SQL that are reviewed. */
interface Sql {
  readonly columns: string;
  readonly sources: readonly string[];
  readonly where: string;
}

export function isOurs({ path, connector }: InstalledAction): boolean {
  return /\/v1\/events(\/|$)/.test(`${connector?.url ?? ''}${path}`);
}

/** The name of the shipped rule with the same SQL apart from the topics; null if there is none. */
export function shippedAs(sql: string): RuleName | null {
  const topics = messageTopics(sql);
  return ruleNames.find((name) => squeeze(shippedSql(name, topics)) === squeeze(sql)) ?? null;
}

/** The topic filters of the messages that a rule reports. */
export function messageTopics(sql: string): string[] {
  const parsed = parse(sql);
  const matched = [...parsed.where.matchAll(/topic\s*=~\s*'([^']*)'/g)].map(([, topic]) => topic ?? '');
  return [...new Set([...topicsOf(parsed), ...matched])].filter((topic) => !topic.startsWith('$offline'));
}

/** The flaws of one rule that posts to this server, and of its actions. */
export function reviewRule(rule: InstalledRule, context: ReviewContext): Flaw[] {
  const off = { grave: true, text: 'is disabled', remedy: 'enable it in EMQX, or remove it' };
  const flaws = [...(rule.enabled ? [] : [off]), ...(shippedAs(rule.sql) === null ? reviewSql(parse(rule.sql), context) : [])];
  return [...flaws, ...rule.actions.filter(isOurs).flatMap((action) => reviewAction(action, context))];
}

/** The flaws of all rules that post to this server together. */
export function reviewTogether(rules: readonly InstalledRule[]): Flaw[] {
  const parsed = rules.filter(({ enabled }) => enabled).map(({ sql }) => parse(sql));
  const any = (source: RegExp): boolean => parsed.some(({ sources }) => sources.some((each) => source.test(each)));
  const tellsSessions = parsed.some((sql) => sql.sources.some((each) => CONNECTED.test(each)) && hasSessionColumns(sql));
  const stores = parsed.filter((sql) => topicsOf(sql).length > 0 || sql.sources.some((each) => DROPPED.test(each)));
  return [
    ...flawIf(stores.length === 0, true, 'no rule tells of messages: nothing is stored', IMPORT_AGAIN),
    ...flawIf(!any(SUBSCRIBED), true, 'no rule tells of subscriptions: nothing is delivered by itself', IMPORT_AGAIN),
    ...flawIf(!any(ACKED), true, 'no rule tells of acknowledgements: messages come again until their ttl is over', IMPORT_AGAIN),
    ...flawIf(
      !tellsSessions,
      false,
      'no rule tells which sessions are resumed (client.connected with clean_start and expiry_interval): EMQX may be asked over REST each time a client comes back',
      IMPORT_AGAIN,
    ),
    ...flawIf(
      !any(DELIVERY_DROPPED),
      false,
      'no rule tells of deliveries that EMQX drops (delivery.dropped): that they are gone is noticed later, and they are sent again later',
      IMPORT_AGAIN,
    ),
    ...flawIf(
      stores.length > 1,
      false,
      `${stores.length} rules tell of messages: where their topics meet each event comes twice`,
      'keep one of offline-messages, offline-only and full',
    ),
  ];
}

function reviewSql({ columns, sources, where }: Sql, { inboxes }: ReviewContext): Flaw[] {
  const publishes = topicsOf({ columns, sources, where }).length > 0;
  const events = sources.some((source) => EVENTS.test(source));
  const star = /(^|,)\s*(\*|payload\s*(,|$))/i.test(columns);
  const bare = /(?<!then\s*)base64_encode\(\s*payload\s*\)/i.test(columns);
  const filtersSubscriptions =
    sources.some((each) => SUBSCRIBED.test(each)) && /topic\s*(=~|=)/i.test(where) && !/session\.subscribed|event\s*(<>|!=)/i.test(where);
  const acks = sources.some((each) => ACKED.test(each));
  return [
    ...flawIf(
      bare && events,
      true,
      'base64_encode(payload) without CASE: EMQX drops every event that has no payload, subscriptions among them',
      IMPORT_AGAIN,
    ),
    ...flawIf(
      filtersSubscriptions,
      true,
      'WHERE topic filters subscriptions by the text of their filter: subscribers of wildcards and of $share get nothing',
      IMPORT_AGAIN,
    ),
    ...flawIf(
      acks && inboxes && where !== '' && /topic\s*(=~|=)/i.test(where) && !where.includes('$offline'),
      true,
      'acknowledgements of inbox deliveries ($offline/#) are filtered out: messages come again',
      IMPORT_AGAIN,
    ),
    ...flawIf(
      publishes && !/payload_base64/i.test(columns),
      false,
      'no payload_base64: payloads that are not UTF-8 are stored broken',
      IMPORT_AGAIN,
    ),
    ...flawIf(
      publishes && !/correlation_data_base64/i.test(columns),
      false,
      'no correlation_data_base64: binary correlation data is stored broken',
      IMPORT_AGAIN,
    ),
    ...flawIf(
      publishes && !/offline-msgid|http_api/.test(where),
      false,
      "no guard against the server's own deliveries: each comes back as an event that is thrown away",
      IMPORT_AGAIN,
    ),
    ...flawIf(acks && star, false, 'selects the payload of acknowledgements, too: each carries it a second time', IMPORT_AGAIN),
  ];
}

function reviewAction(
  { name, enabled, status, reason, requestTtl, hasToken, lost, connector }: InstalledAction,
  { token, server }: ReviewContext,
): Flaw[] {
  const action = `action ${name}`;
  if (!enabled) return [{ grave: true, text: `${action} is disabled`, remedy: 'enable it in EMQX' }];
  if (connector === null || !connector.enabled)
    return [{ grave: true, text: `the connector of ${action} is disabled or gone`, remedy: 'enable it in EMQX' }];
  const why = reason === '' ? '' : ` (${reason})`;
  return [
    ...flawIf(
      status !== 'connected',
      true,
      `${action} is ${status}${why}`,
      `is the server at ${connector.url} as EMQX sees it? events wait in EMQX meanwhile`,
    ),
    ...flawIf(
      connector.poolType !== 'hash',
      true,
      `connector ${connector.name} has pool_type ${connector.poolType}: events of one client overtake each other`,
      'set pool_type to hash',
    ),
    ...flawIf(
      requestTtl !== 'infinity',
      true,
      `${action} has request_ttl ${requestTtl}: in an outage that lasts longer events are dropped`,
      'set resource_opts.request_ttl to infinity',
    ),
    ...flawIf(
      token && !hasToken && !connector.hasToken,
      true,
      `${action} sends no token: every event is answered 401 and lost`,
      "run emqx-offline-store rules --install with the server's INGEST_TOKEN",
    ),
    ...(server === undefined ? [] : reviewConnector(connector, server)),
    ...flawIf(
      lost > 0,
      true,
      `${action} has given up ${lost} ${lost === 1 ? 'event' : 'events'} since EMQX started`,
      "look at the action's metrics in EMQX and at GET /v1/dead-letters",
    ),
  ];
}

function parse(sql: string): Sql {
  const [, columns = '', from = '', where = ''] =
    /^\s*(?:SELECT|FOREACH)\s+(.*?)\s+FROM\s+(.*?)(?:\s+WHERE\s+(.*))?$/is.exec(sql.trim()) ?? [];
  return { columns, sources: [...from.matchAll(/["']([^"']+)["']/g)].map(([, source]) => source ?? ''), where };
}

function topicsOf({ sources }: Sql): string[] {
  return sources.filter((source) => !EVENTS.test(source));
}

function hasSessionColumns({ columns }: Sql): boolean {
  return (
    /(^|,)\s*\*/.test(columns) || ['clean_start', 'expiry_interval'].every((column) => new RegExp(`\\b${column}\\b`, 'i').test(columns))
  );
}

function shippedSql(name: RuleName, topics: readonly string[]): string {
  return topics.length === 0 && name !== 'client-state' ? '' : ruleSql(name, topics);
}

const squeeze = (sql: string): string => sql.replace(/\s+/g, ' ').trim();
