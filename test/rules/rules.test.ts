import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SettingError } from '../../src/base/errors';
import { ruleDefaults, ruleNames, ruleTemplate, type RuleName, type RuleTemplate } from '../../src/emqx/rules';
import { readEvent } from '../../src/events';
import { eventOf, events } from './fixtures';
import { parseSelect, type Columns, type Select } from './sql';

const FOLDER = join(__dirname, '../../rules/emqx5');
const fileOf = (name: RuleName): string => join(FOLDER, `${name}.json`);
const textOf = (name: RuleName): string => `${JSON.stringify(ruleTemplate(name), null, 2)}\n`;
if (process.env['UPDATE_RULES'] === '1') for (const name of ruleNames) writeFileSync(fileOf(name), textOf(name));
const read = (name: RuleName): RuleTemplate => JSON.parse(readFileSync(fileOf(name), 'utf8')) as RuleTemplate;

function only<T>(record: Readonly<Record<string, T>>): { id: string; value: T } {
  const [[id, value] = [], ...others] = Object.entries(record);
  if (id === undefined || value === undefined || others.length > 0) throw new Error('exactly one expected');
  return { id, value };
}

const sqlOf = (name: RuleName, options = ruleDefaults): string => only(ruleTemplate(name, options).rule_engine.rules).value.sql;
const selectOf = (name: RuleName): Select => parseSelect(only(read(name).rule_engine.rules).value.sql);

/** EMQX gives a rule only the events of its FROM. */
function passes(select: Select, event: Columns): boolean {
  const name = String(event['event']);
  const fromEvents = select.sources.includes(`$events/${name.replace('.', '_')}`);
  const fromTopics = name === 'message.publish' && select.sources.some((source) => !source.startsWith('$events/'));
  return (fromEvents || fromTopics) && select.matches(event);
}

/** The columns that EMQX sends. It computes them before WHERE: one that fails drops the event. */
const sentOf = (select: Select, event: Columns): Columns =>
  Object.fromEntries(select.columns.map((column) => [column.name, column.valueIn(event)]));

describe('the rule files of EMQX 5', () => {
  test('equal ruleTemplate (UPDATE_RULES=1 writes them)', () => {
    for (const name of ruleNames) {
      expect(readFileSync(fileOf(name), 'utf8')).toBe(textOf(name));
    }
    expect(readdirSync(FOLDER).sort()).toEqual(ruleNames.map((name) => `${name}.json`).sort());
  });

  test('share one connector and nothing else, so any two can be imported side by side', () => {
    const templates = ruleNames.map(read);
    const [first] = templates;
    for (const { connectors } of templates) expect(connectors).toEqual(first?.connectors);
    const actions = templates.map(({ actions: { http } }) => only(http).id);
    const rules = templates.map(({ rule_engine }) => only(rule_engine.rules).id);
    expect(new Set(actions).size).toBe(ruleNames.length);
    expect(new Set(rules).size).toBe(ruleNames.length);
    // EMQX's rule for names.
    for (const id of [...actions, ...rules, ...Object.keys(first?.connectors.http ?? {})]) expect(id).toMatch(/^[A-Za-z0-9]+[A-Za-z0-9-_]*$/);
  });

  test('contain no secret', () => {
    for (const name of ruleNames) expect(readFileSync(fileOf(name), 'utf8')).not.toMatch(/authorization|bearer|token|secret/i);
  });
});

describe.each(ruleNames)('%s', (name) => {
  const template = read(name);
  const connector = only(template.connectors.http);
  const action = only(template.actions.http);
  const rule = only(template.rule_engine.rules);

  test('keeps the order of a publisher through a pool by client id', () => {
    expect(connector.value).toMatchObject({ enable: true, pool_type: 'hash', url: 'http://127.0.0.1:8480', ssl: { enable: false } });
    expect(parseSelect(rule.value.sql).columns.map((column) => column.name)).toContain('clientid');
  });

  test('buffers events without a time limit', () => {
    expect(action.value.resource_opts).toMatchObject({ request_ttl: 'infinity', query_mode: 'async', health_check_interval: '5s' });
    expect(action.value.resource_opts.max_buffer_bytes).toMatch(/^\d+MB$/);
    expect(connector.value.resource_opts.health_check_interval).toBe('5s');
  });

  test('posts the selected columns as JSON to the path of the event', () => {
    expect(action.value).toMatchObject({
      enable: true,
      connector: connector.id,
      parameters: { method: 'post', path: '/v1/events/${event}', headers: { 'content-type': 'application/json' } },
    });
    expect(action.value.parameters).not.toHaveProperty('body');
    expect(rule.value).toMatchObject({ enable: true, actions: [`http:${action.id}`] });
    expect(parseSelect(rule.value.sql).columns.map((column) => column.name)).toContain('event');
  });

  test('uses no function that an EMQX 5 lacks or that failed', () => {
    expect(rule.value.sql).not.toMatch(/\bnot\s*\(|coalesce|\*/i);
    expect(rule.value.sql).not.toMatch(/"\$events\/\w+\//);
  });

  test('selects the payload only in base64', () => {
    const select = parseSelect(rule.value.sql);
    expect(select.columns.map((column) => column.name)).not.toContain('payload');
    const kept = name === 'offline-only' ? 'message.dropped' : 'message.publish';
    for (const { event, body } of events) {
      const sent = sentOf(select, body);
      const expected = event === kept && name !== 'client-state' ? Buffer.from(String(body['payload'])).toString('base64') : undefined;
      expect(sent['payload_base64']).toBe(expected);
      if (event !== kept) expect(sent['correlation_data_base64']).toBeUndefined();
    }
  });
});

/**
 * The columns, sources and conditions that were measured on EMQX 5.8.9, 6.2.0 and 4.4.19, and beside them a constant column (EMQX's own
 * tests have `'global' as ns`), columns of client.connected, and the drops as the rule `full` was measured to tell them.
 */
test('the rule offline-messages has exactly this SQL', () => {
  expect(sqlOf('offline-messages')).toBe(
    `SELECT event, id, clientid, username, topic, qos, flags, pub_props, publish_received_at, timestamp, ` +
      `connected_at, clean_start, expiry_interval, reason, 'offline-messages' as rule_set, ` +
      `CASE WHEN event = 'message.publish' THEN base64_encode(payload) END as payload_base64, ` +
      `CASE WHEN event = 'message.publish' AND is_not_null(pub_props.'Correlation-Data') THEN base64_encode(pub_props.'Correlation-Data') END as correlation_data_base64 ` +
      `FROM "t/#", "$events/session_subscribed", "$events/message_acked", "$events/client_connected", "$events/delivery_dropped" ` +
      `WHERE event = 'session.subscribed' or event = 'client.connected' or (event = 'message.acked' and (topic =~ 't/#' or topic =~ '$offline/#')) ` +
      `or (event = 'message.publish' and (is_null(pub_props.'User-Property'.'offline-msgid') or clientid <> 'http_api')) ` +
      `or (event = 'delivery.dropped' and is_not_null(pub_props.'User-Property'.'offline-msgid'))`,
  );
});

describe('a rule and the recorded events', () => {
  const passed = (name: RuleName): string[] => {
    const select = selectOf(name);
    return [...new Set(events.filter(({ body }) => passes(select, body)).map(({ event }) => event))].sort();
  };

  test('each rule passes only its own events', () => {
    expect(passed('offline-messages')).toEqual(['client.connected', 'message.acked', 'message.publish', 'session.subscribed']);
    expect(passed('client-state')).toEqual(['client.connected', 'client.disconnected', 'session.subscribed', 'session.unsubscribed']);
    // Its only dropped message was published to nosub/1: another topic than the rule's.
    expect(passed('offline-only')).toEqual(['client.connected', 'message.acked', 'session.subscribed']);
    expect(passed('full')).toEqual([
      'client.connected',
      'client.disconnected',
      'message.acked',
      'message.publish',
      'session.subscribed',
      'session.unsubscribed',
    ]);
  });

  test.each<RuleName>(['offline-messages', 'offline-only', 'full'])('%s: subscribe events pass with any filter', (name) => {
    const select = selectOf(name);
    const subscribed = events.filter(({ event }) => event === 'session.subscribed').map(({ body }) => body);
    const others = ['#', '+/1', '$share/g/t/1', 'nothing/of/the/rule'].map((topic) => ({ ...subscribed[0], topic }));
    for (const event of [...subscribed, ...others]) expect(passes(select, event)).toBe(true);
  });

  test.each<RuleName>(['offline-messages', 'offline-only', 'full'])('%s: acknowledgements pass for its own topics and inboxes only', (name) => {
    const select = selectOf(name);
    const ack = eventOf('message.acked', 'live delivery');
    const acked = (topic: string): boolean => passes(select, { ...ack, topic });
    expect(['t', 't/1', 't/1/2', '$offline/c/t/1'].map(acked)).toEqual([true, true, true, true]);
    expect(['other', 'tt/1', '$SYS/x', '$offlinex/1'].map(acked)).toEqual([false, false, false, false]);
    // Acks of our deliveries are how messages are removed.
    expect(passes(select, eventOf('message.acked', 'republished by REST'))).toBe(true);
    expect(passes(select, eventOf('message.acked', 'per-client inbox'))).toBe(true);
  });

  test.each<RuleName>(['offline-messages', 'full'])('%s: every publish passes, except deliveries of the server (promise 8)', (name) => {
    const select = selectOf(name);
    const published = events.filter(({ event }) => event === 'message.publish');
    const stopped = published.filter(({ body }) => !passes(select, body)).map(({ body }) => body);
    expect(stopped).toEqual([eventOf('message.publish', 'republished by REST')]);
    expect(published.length).toBeGreaterThan(5);
  });

  test('offline-only: drops without a subscriber pass, except of deliveries of the server', () => {
    const select = selectOf('offline-only');
    const dropped = { ...eventOf('message.dropped', 'no subscribers'), topic: 't/1' };
    expect(passes(select, dropped)).toBe(true);
    expect(select.columns.map((column) => column.name)).toContain('reason');
    expect(sentOf(select, dropped)).toMatchObject({ reason: 'no_subscribers', topic: 't/1', event: 'message.dropped' });
    expect(passes(select, { ...dropped, topic: 'nosub/1' })).toBe(false);
    expect(passes(select, { ...dropped, reason: 'await_pubrel_timeout' })).toBe(false);
    const marked = { ...dropped, pub_props: { 'User-Property': { 'offline-msgid': 'A' } } };
    expect(passes(select, { ...marked, clientid: 'http_api' })).toBe(false);
    // Promise 24: a client forwards what it was sent.
    expect(passes(select, marked)).toBe(true);
    expect(passes(select, eventOf('message.publish', 'text qos1'))).toBe(false);
  });

  test.each<RuleName>(['offline-messages', 'offline-only', 'full'])("%s: drops of the server's deliveries pass with all columns that the server reads", (name) => {
    const select = selectOf(name);
    const delivered = eventOf('message.acked', 'per-client inbox');
    const dropped = { ...delivered, event: 'delivery.dropped', reason: 'queue_full' };
    expect(passes(select, dropped)).toBe(true);
    expect(sentOf(select, dropped)).toMatchObject({ event: 'delivery.dropped', reason: 'queue_full', qos: 1, clientid: 's311', topic: '$offline/s311/t/1' });
    for (const pub_props of [{ 'User-Property': {} }, {}, undefined]) expect(passes(select, { ...dropped, pub_props })).toBe(false);
    expect(passes(selectOf('client-state'), dropped)).toBe(false);
  });

  test.each(ruleNames)('%s: every connection passes with the session columns that the server reads', (name) => {
    const select = selectOf(name);
    for (const [text, session] of [['MQTT 3.1.1', { clean_start: true, expiry_interval: 0 }], ['persistent', { clean_start: false, expiry_interval: 300 }]] as const) {
      const connected = eventOf('client.connected', text);
      expect(passes(select, connected)).toBe(true);
      expect(sentOf(select, connected)).toMatchObject({ clientid: connected['clientid'], connected_at: connected['connected_at'], rule_set: name, ...session });
    }
  });

  test('client-state and full report the node and disconnects', () => {
    for (const name of ['client-state', 'full'] as const) {
      expect(sentOf(selectOf(name), eventOf('client.connected', 'MQTT 3.1.1'))).toMatchObject({ clientid: 'dev/a+1', node: expect.any(String) });
      const disconnected = sentOf(selectOf(name), eventOf('client.disconnected', 'normal'));
      expect(disconnected).toMatchObject({ clientid: expect.any(String), disconnected_at: expect.any(Number) });
    }
  });

  test.each([['offline-messages', true], ['offline-only', true], ['full', false], ['client-state', false]] as const)(
    'what %s sends is understood: a connection tells about the session only: %j',
    (name, sessionOnly) => {
      for (const { event, body } of events.filter((each) => passes(selectOf(name), each.body))) {
        // As EMQX writes it: what is absent is the string "undefined".
        const sent = Object.fromEntries(Object.entries(sentOf(selectOf(name), body)).map(([key, value]) => [key, value ?? 'undefined']));
        const { event: read } = readEvent(JSON.parse(JSON.stringify(sent)), event);
        if (read.type !== 'connected') continue;
        expect(read).toMatchObject({ sessionOnly, cleanStart: body['clean_start'], expiryMs: Number(body['expiry_interval']) * 1000 });
      }
      expect.assertions(2);
    },
  );
});

describe("a rule with the operator's settings", () => {
  const withTopics = (...topics: string[]) => ({ ...ruleDefaults, topics });

  test('selects messages, acknowledgements and drops by its topics', () => {
    const select = parseSelect(sqlOf('offline-messages', withTopics('t/#', 'u/+/x', 't/#')));
    expect(select.sources.slice(0, 3)).toEqual(['t/#', 'u/+/x', '$events/session_subscribed']);
    const ack = eventOf('message.acked', 'live delivery');
    const acked = (topic: string): boolean => passes(select, { ...ack, topic });
    expect(['t/1', 'u/1/x', '$offline/c/t/1', 'u/1/y', 'v'].map(acked)).toEqual([true, true, true, false, false]);

    const only = parseSelect(sqlOf('offline-only', withTopics('t/#', 'u/+/x')));
    const dropped = { ...eventOf('message.dropped', 'no subscribers') };
    expect(['t/1', 'u/1/x', 'u/1/y'].map((topic) => passes(only, { ...dropped, topic }))).toEqual([true, true, false]);
  });

  test.each(['#', 'a b/ü/#', '/', '+/+', '$aws/things/#', 'x'.repeat(40)])('contains the topic %j unchanged', (topic) => {
    expect(parseSelect(sqlOf('full', withTopics(topic))).sources[0]).toBe(topic);
  });

  test.each([
    "t/'", 't/"', 't/`', 't/\\', 't/\n', 't/\u0000', 't/\u0085', '', 't/#/x', 't/a+', '#x',
    '$share/g/t/#', '$queue/t', '$events/client_connected', '$bridges/mqtt:x', '$offline/#', '$offline',
    `t/#" WHERE event = 'x`, "t' or 'a' = 'a",
  ])('rejects the topic %j and names it', (topic) => {
    const make = () => ruleTemplate('offline-messages', withTopics('t/#', topic));
    expect(make).toThrow(SettingError);
    expect(make).toThrow(`--topic: ${JSON.stringify(topic)} must`);
  });

  test('needs at least one topic', () => {
    expect(() => ruleTemplate('offline-messages', withTopics())).toThrow('--topic: give at least one topic filter');
  });

  test("has the address as the connector's URL", () => {
    const urlOf = (url: string) => only(ruleTemplate('full', { ...ruleDefaults, url }).connectors.http).value;
    expect(urlOf('http://store:8480/')).toMatchObject({ url: 'http://store:8480', ssl: { enable: false } });
    expect(urlOf('https://store.example/offline/')).toMatchObject({ url: 'https://store.example/offline', ssl: { enable: true } });
    for (const url of ['', 'store:8480', 'ftp://x', 'http://u:p@x', 'http://x?y', 'http://x#y']) {
      expect(() => urlOf(url)).toThrow(/^--url: /);
    }
  });

  test('has the token in a header of the connector', () => {
    const connector = (token: string) => only(ruleTemplate('full', { ...ruleDefaults, token }).connectors.http).value;
    for (const token of ['aB3-._~+/=', '"}$x{']) expect(connector(token).headers).toEqual({ authorization: `Bearer ${token}` });
    for (const token of ['', 'a b', 'a\r\nx: y', 'my${clientid}', 'ü']) expect(() => connector(token)).toThrow(/^INGEST_TOKEN: must be printable ASCII/);
  });
});
