import { SettingError } from '../base/errors';
import { plainFilterProblem } from '../mqtt/validity';

export const ruleNames = ['offline-messages', 'client-state', 'offline-only', 'full'] as const;

/** A shipped rule. Each has one file in rules/emqx5 and one in rules/emqx4. */
export type RuleName = (typeof ruleNames)[number];

/**
 * The topics of deliveries to one client (promise 7). Their acknowledgements must be reported whatever the rule's
 * topics are.
 */
const INBOXES = '$offline/#';

/** The user property that every copy from this server has. */
const OURS = "pub_props.'User-Property'.'offline-msgid'";

/** Names of EMQX and of this server that a rule can't or must not select as plain messages. */
const NOT_MESSAGES = /^\$(share|queue|exclusive|events|bridges|sources?|offline)(\/|$)/;

/** Which messages are stored: all published ones, or those that EMQX dropped because nobody was subscribed. */
type Kept = 'message.publish' | 'message.dropped';

/**
 * The SQL of a rule that stores messages which match one of the topic filters. It uses only forms that were tested with
 * EMQX 4.4 to 6.
 */
export function ruleSql(name: RuleName, topics: readonly string[]): string {
  switch (name) {
    case 'offline-messages':
      return messageSql(name, 'message.publish', topics);
    case 'offline-only':
      return messageSql(name, 'message.dropped', topics);
    case 'client-state':
      return clientStateSql();
    case 'full':
      return messageSql(name, 'message.publish', topics, {
        columns: ['node', 'disconnected_at', 'mountpoint'],
        sources: ['$events/session_unsubscribed', '$events/client_disconnected'],
        events: ['session.unsubscribed', 'client.disconnected'],
      });
  }
}

/**
 * The columns of client.connected that tell whether the session was resumed, and whether it outlives its connection.
 */
const SESSION = ['connected_at', 'clean_start', 'expiry_interval'];

/**
 * A constant column. With `offline-messages` and `offline-only` the server uses client.connected only to learn about
 * the session, and makes no subscriptions (src/events/session.ts).
 */
const ruleSet = (name: RuleName): string => `'${name}' as rule_set`;

interface Additions {
  readonly columns: readonly string[];
  readonly sources: readonly string[];
  readonly events: readonly string[];
}

const NOTHING: Additions = { columns: [], sources: [], events: [] };

function messageSql(name: RuleName, kept: Kept, filters: readonly string[], more: Additions = NOTHING): string {
  const topics = checkedTopics(filters);
  const dropped = kept === 'message.dropped';
  const columns = [
    ...['event', 'id', 'clientid', 'username', 'topic', 'qos', 'flags', 'pub_props', 'publish_received_at', 'timestamp'],
    // `reason` is a column of drops.
    ...[...SESSION, 'reason', ...more.columns, ruleSet(name)],
    // base64_encode fails on an event without a payload, and EMQX then drops the whole event, so it is used only for
    // events with a payload. CASE is used because coalesce() does not exist before EMQX 5.8. The payload itself is no
    // column, because acknowledgements would contain it again.
    `CASE WHEN event = '${kept}' THEN base64_encode(payload) END as payload_base64`,
    `CASE WHEN event = '${kept}' AND is_not_null(pub_props.'Correlation-Data') THEN base64_encode(pub_props.'Correlation-Data') END as correlation_data_base64`,
  ];
  const sources = [
    ...(dropped ? ['$events/message_dropped'] : topics),
    ...['$events/session_subscribed', '$events/message_acked', '$events/client_connected', '$events/delivery_dropped'],
    ...more.sources,
  ];
  const where = [
    // Subscriptions are selected whatever their filter is, because a subscriber of # or $share/g/t/1 receives t/1, too.
    // The server matches the filters itself.
    ...['session.subscribed', 'client.connected', ...more.events].map((event) => `event = '${event}'`),
    // Acknowledgements of other topics are left out, because each would leave a tombstone.
    `(event = 'message.acked' and ${anyTopic([...topics, INBOXES])})`,
    // Copies from this server have the property and are published by REST. They must not come back as events (promise
    // 8). A message that a client forwards is a message of its own (promise 24).
    `(event = '${kept}' and ${dropped ? `reason = 'no_subscribers' and ${anyTopic(topics)} and ` : ''}(is_null(${OURS}) or clientid <> 'http_api'))`,
    // Only drops of this server's copies are selected. Other messages that EMQX drops are stored anyway, and there may
    // be many.
    `(event = 'delivery.dropped' and is_not_null(${OURS}))`,
  ];
  return `SELECT ${columns.join(', ')} FROM ${sources.map((source) => `"${source}"`).join(', ')} WHERE ${where.join(' or ')}`;
}

function clientStateSql(): string {
  const columns = [
    'event',
    'clientid',
    'username',
    'topic',
    'qos',
    'node',
    ...SESSION,
    'disconnected_at',
    'mountpoint',
    'timestamp',
    ruleSet('client-state'),
  ];
  const sources = ['client_connected', 'client_disconnected', 'session_subscribed', 'session_unsubscribed'];
  return `SELECT ${columns.join(', ')} FROM ${sources.map((source) => `"$events/${source}"`).join(', ')}`;
}

function anyTopic(topics: readonly string[]): string {
  const matches = topics.map((topic) => `topic =~ '${topic}'`);
  return matches.length === 1 ? matches.join() : `(${matches.join(' or ')})`;
}

/** Topics that would need escaping are rejected, because no form of escaping works in the SQL of every EMQX version. */
function checkedTopics(topics: readonly string[]): readonly string[] {
  if (topics.length === 0) throw new SettingError('--topic', 'give at least one topic filter, for instance t/#');
  for (const topic of topics) {
    const problem = plainFilterProblem(topic) ?? sqlProblem(topic);
    if (problem !== null) throw new SettingError('--topic', `${JSON.stringify(topic)} ${problem}`);
  }
  return [...new Set(topics)];
}

function sqlProblem(topic: string): string | null {
  if (NOT_MESSAGES.test(topic)) return 'must not begin with a name that EMQX or this server uses: no messages are published there';
  return /['"`\\\p{Cc}]/u.test(topic)
    ? "must not contain quotes, backslashes or control characters: it becomes a part of the rule's SQL"
    : null;
}
