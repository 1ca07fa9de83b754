import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SettingError } from '../../src/base/errors';
import { ruleNames, ruleTemplate, type RuleName } from '../../src/emqx/rules';
import { ruleV4Template, type RuleV4Template } from '../../src/emqx/rules-v4';

const FOLDER = join(__dirname, '../../rules/emqx4');
const fileOf = (name: RuleName): string => join(FOLDER, `${name}.json`);
const textOf = (name: RuleName): string => `${JSON.stringify(ruleV4Template(name), null, 2)}\n`;
if (process.env['UPDATE_RULES'] === '1') for (const name of ruleNames) writeFileSync(fileOf(name), textOf(name));

const [ONE, TWO] = ['http://a:8480', 'http://b:8480'];
const topics = ['t/#'];

test('the files in rules/emqx4 equal ruleV4Template (UPDATE_RULES=1 writes them)', () => {
  for (const name of ruleNames) expect(readFileSync(fileOf(name), 'utf8')).toBe(textOf(name));
  expect(readdirSync(FOLDER).sort()).toEqual(ruleNames.map((name) => `${name}.json`).sort());
});

test.each(ruleNames)('%s has the SQL of EMQX 5, and posts the columns to the path of the event', (name) => {
  const { resources, rules } = JSON.parse(readFileSync(fileOf(name), 'utf8')) as RuleV4Template;
  const [[id, shipped] = []] = Object.entries(ruleTemplate(name).rule_engine.rules);
  expect(resources).toEqual([
    {
      ...{ id: 'offline_store', type: 'web_hook', description: 'emqx-offline-store' },
      config: { url: 'http://127.0.0.1:8480', method: 'POST', connect_timeout: '5s', request_timeout: '5s', pool_size: 8 },
    },
  ]);
  expect(rules).toEqual([{ id, enabled: true, description: expect.any(String), rawsql: shipped?.sql, actions: [expect.any(Object)] }]);
  expect(rules[0]?.actions).toEqual([
    {
      name: 'data_to_webserver',
      params: {
        ...{ $resource: 'offline_store', method: 'POST', path: '/v1/events/${event}', headers: { 'content-type': 'application/json' } },
        ...{ body: '', payload_tmpl: '', pool_size: 8 },
      },
      fallbacks: [],
    },
  ]);
});

test("a second address is EMQX 4's fallback with the same token", () => {
  const { resources, rules } = ruleV4Template('full', { urls: [ONE!, `${TWO}/`], topics, token: 'secret' });
  expect(resources.map(({ id, config }) => [id, config.url])).toEqual([['offline_store', ONE], ['offline_store_fallback', TWO]]);
  const action = rules[0]?.actions[0];
  const headers = { 'content-type': 'application/json', authorization: 'Bearer secret' };
  expect(action).toMatchObject({ params: { $resource: 'offline_store', headers }, fallbacks: [{ params: { $resource: 'offline_store_fallback', headers }, fallbacks: [] }] });
});

test.each<[string[], RegExp]>([
  [[ONE!, TWO!, 'http://c'], /^--url: give one address/],
  [[ONE!, `${ONE}/`], /^--url: is given twice with the same address/],
  [['b:8480'], /^--url: must be this server's address/],
])('%j is refused', (urls, message) => {
  expect(() => ruleV4Template('full', { urls, topics })).toThrow(SettingError);
  expect(() => ruleV4Template('full', { urls, topics })).toThrow(message);
});

test('a token that EMQX 4 would read as a template is rejected', () => {
  expect(() => ruleV4Template('full', { urls: [ONE!], topics, token: 'my${clientid}' })).toThrow(/^INGEST_TOKEN/);
});

test('a given name is the prefix of resources and rule', () => {
  const { resources, rules } = ruleV4Template('full', { urls: [ONE!, TWO!], topics, name: 'site_a' });
  expect([...resources.map(({ id }) => id), ...rules.map(({ id }) => id)]).toEqual(['site_a_store', 'site_a_store_fallback', 'site_a_full']);
});
