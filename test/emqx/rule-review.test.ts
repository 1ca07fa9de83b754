import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { InstalledAction, InstalledRule } from '../../src/emqx/inspection';
import { isOurs, reviewRule, reviewTogether, shippedAs } from '../../src/emqx/rule-review';
import { ruleNames, ruleSql } from '../../src/emqx/rule-sql';

const CONTEXT = { inboxes: true, token: false };

function action(fields: Partial<InstalledAction> = {}): InstalledAction {
  const connector = { name: 'offline_store', enabled: true, url: 'http://127.0.0.1:8480', poolType: 'hash', hasToken: false };
  return {
    name: 'a',
    enabled: true,
    status: 'connected',
    reason: '',
    path: '/v1/events/${event}',
    requestTtl: 'infinity',
    hasToken: false,
    lost: 0,
    connector,
    ...fields,
  };
}

function rule(sql: string, fields: Partial<InstalledRule> = {}): InstalledRule {
  return { id: 'r', enabled: true, sql, actions: [action()], ...fields };
}

const texts = (sql: string): string[] => reviewRule(rule(sql), CONTEXT).map(({ grave, text }) => `${grave ? 'grave' : 'slight'} ${text}`);

describe('a rule that posts to the server', () => {
  it.each(ruleNames)('is recognized as supplied: %s', (name) => {
    const file = JSON.parse(readFileSync(join(__dirname, `../../rules/emqx5/${name}.json`), 'utf8')) as {
      rule_engine: { rules: Record<string, { sql: string }> };
    };
    const [{ sql } = { sql: '' }] = Object.values(file.rule_engine.rules);
    expect(shippedAs(sql)).toBe(name);
    // With the operator's topics, and as a dashboard may have laid it out.
    expect(shippedAs(ruleSql(name, ['a/#', 'b/+']).replace(/ (FROM|WHERE|or) /g, '\n $1\n'))).toBe(name);
    expect(reviewRule(rule(sql), CONTEXT)).toEqual([]);
  });

  // Each was measured, or follows from what was (facts): the recipes that one finds.
  it.each([
    [
      'SELECT *, base64_encode(payload) as payload_base64 FROM "t/#", "$events/session_subscribed"',
      /^grave base64_encode\(payload\) without CASE/,
    ],
    [
      `SELECT * FROM "t/#", "$events/session_subscribed", "$events/message_acked" WHERE topic =~ 't/#'`,
      /^grave WHERE topic filters subscriptions/,
    ],
    [`SELECT event FROM "$events/message_acked" WHERE topic =~ 't/#'`, /^grave acknowledgements of inbox deliveries/],
    ['SELECT * FROM "t/#"', /^slight no payload_base64/],
    ['SELECT * FROM "t/#"', /^slight no correlation_data_base64/],
    ['SELECT * FROM "t/#"', /^slight no guard/],
    ['SELECT * FROM "t/#", "$events/message_acked"', /^slight selects the payload of acknowledgements/],
    ['SELECT event, payload FROM "$events/message/acked"', /^slight selects the payload of acknowledgements/],
  ])('has a flaw: %s', (sql, flaw) => {
    expect(texts(sql)).toContainEqual(expect.stringMatching(flaw));
  });

  it("of the operator's own can be without flaws", () => {
    const sql = `SELECT *, base64_encode(coalesce(payload, '')) as payload_base64, correlation as correlation_data_base64 FROM "t/#", "$events/session_subscribed" WHERE event <> 'message.publish' or is_null(pub_props.'User-Property'.'offline-msgid')`;
    expect(shippedAs(sql)).toBeNull();
    expect(texts(sql)).toEqual([]);
  });

  it.each([
    [{ enabled: false }, /^action a is disabled/],
    [{ connector: null }, /connector of action a/],
    [{ status: 'disconnected', reason: 'econnrefused' }, /^action a is disconnected \(econnrefused\)/],
    [{ requestTtl: '45s' }, /request_ttl 45s/],
    [{ lost: 3 }, /given up 3 events/],
    [{ connector: { ...action().connector!, poolType: 'random' } }, /pool_type random/],
  ])('has an action with a flaw: %j', (fields, flaw) => {
    const flaws = reviewRule(rule(ruleSql('full', ['t/#']), { actions: [action(fields)] }), CONTEXT);
    expect(flaws).toEqual([expect.objectContaining({ grave: true, text: expect.stringMatching(flaw) as string })]);
  });

  it('must send a token in its connector or action when one is required', () => {
    const needed = { inboxes: false, token: true };
    const sql = ruleSql('full', ['t/#']);
    expect(reviewRule(rule(sql), needed).map(({ text }) => text)).toEqual([expect.stringContaining('no token')]);
    for (const fields of [{ hasToken: true }, { connector: { ...action().connector!, hasToken: true } }])
      expect(reviewRule(rule(sql, { actions: [action(fields)] }), needed)).toEqual([]);
  });

  it('is recognized by the address of its action', () => {
    expect(isOurs(action())).toBe(true);
    expect(isOurs(action({ path: '', connector: { ...action().connector!, url: 'http://store/v1/events' } }))).toBe(true);
    expect(isOurs(action({ path: '/hook' }))).toBe(false);
  });
});

describe('the rules of one EMQX', () => {
  const reviewed = (...sqls: string[]): string[] => reviewTogether(sqls.map((sql) => rule(sql))).map(({ text }) => text);

  it('are reviewed for missing events', () => {
    expect(reviewed(ruleSql('offline-messages', ['t/#']), ruleSql('client-state', []))).toEqual([]);
    for (const name of ['offline-messages', 'offline-only', 'full'] as const) expect(reviewed(ruleSql(name, ['t/#']))).toEqual([]);
    expect(reviewed(ruleSql('client-state', []))).toEqual(
      ['of messages', 'of acknowledgements', 'of deliveries that EMQX drops'].map(containing),
    );
    expect(reviewed('SELECT * FROM "t/#"')).toEqual(['of subscriptions', 'of acknowledgements', ...MISSED].map(containing));
  });

  const containing = (text: string): unknown => expect.stringContaining(text);
  const MISSED = ['which sessions are resumed', 'of deliveries that EMQX drops'];
  const SOURCES = '"t/#", "$events/session_subscribed", "$events/message_acked"';

  it('have a slight flaw without client.connected and delivery.dropped', () => {
    const flaws = reviewTogether([rule(`SELECT * FROM ${SOURCES}`)]);
    expect(flaws).toEqual(MISSED.map((text) => expect.objectContaining({ grave: false, text: containing(text) })));
    expect(flaws.map(({ text }) => text)).toEqual([containing('over REST each time'), containing('noticed later')]);
  });

  it.each([
    ['as aliases of EMQX 5.9 and later', `SELECT * FROM ${SOURCES}, "$events/client/connected", "$events/message/delivery_dropped"`, []],
    [
      'without the columns of the session',
      `SELECT event, connected_at FROM ${SOURCES}, "$events/client_connected", "$events/delivery_dropped"`,
      MISSED.slice(0, 1),
    ],
    [
      'with one of the columns',
      `SELECT event, clean_start FROM ${SOURCES}, "$events/client_connected", "$events/delivery_dropped"`,
      MISSED.slice(0, 1),
    ],
    [
      'with both columns',
      `SELECT event, clean_start, expiry_interval FROM ${SOURCES}, "$events/client_connected", "$events/delivery_dropped"`,
      [],
    ],
  ])('are reviewed for session and drop events %s', (_case, sql, missed) => {
    expect(reviewed(sql)).toEqual(missed.map(containing));
  });

  it('do not count when they are disabled', () => {
    const off = rule('SELECT * FROM "$events/client_connected", "$events/delivery_dropped"', { enabled: false });
    expect(reviewTogether([rule(`SELECT event FROM ${SOURCES}`), off]).map(({ text }) => text)).toEqual(MISSED.map(containing));
  });

  it('have a flaw when two of them report the same messages', () => {
    expect(reviewed(ruleSql('offline-messages', ['t/#']), ruleSql('offline-only', ['t/#']))).toEqual([expect.stringContaining('twice')]);
  });
});
