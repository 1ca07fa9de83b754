import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { collectDefaultMetrics, type Metric } from 'prom-client';
import { parse } from 'yaml';
import { loadConfig } from '../../src/config/load';
import { createLogger } from '../../src/base/log';
import { Server } from '../../src/server/server';
import { EmqxStandIn } from '../standin';
import { publishEvent } from '../support/events';
import { temporaryDirectory } from '../support/temp';
import { parsePromql } from './promql';

const ROOT = join(__dirname, '../..');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

const OWN = 'emqx_offline_';
/** Prometheus adds these labels to each sample of a target, and writes this metric for each target. */
const TARGET_LABELS = ['job', 'instance'];
const TARGET_METRICS = ['up'];
/** The histogram `m` has the samples m_bucket, m_sum and m_count. */
const SAMPLES = ['_bucket', '_sum', '_count'];

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string; readonly datasource: { readonly uid: string } }[];
}
interface Dashboard {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly type: string; readonly definition?: string }[] };
}
interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

const dashboard = JSON.parse(read('deploy/grafana/dashboard.json')) as Dashboard;
const rules = (parse(read('deploy/prometheus/alerts.yaml')) as { groups: { rules: Rule[] }[] }).groups.flatMap((group) => group.rules);
const targets = dashboard.panels.flatMap(({ title, targets: all = [] }) => all.map((target) => ({ title, ...target })));

/** Grafana's variables, as they could be. */
const withValues = (expr: string): string =>
  expr.replaceAll('$__rate_interval', '1m').replaceAll('"$job"', '".+"').replaceAll('"$instance"', '".+"');

type Described = Metric<string> & {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly labelNames: readonly string[];
};

describe('the dashboard and alerts', () => {
  const directory = temporaryDirectory();
  let emqx: EmqxStandIn;
  let server: Server;
  let metrics: Map<string, Described>;
  /** The lines of /metrics. */
  let scraped: string[];
  beforeAll(async () => {
    emqx = await EmqxStandIn.start({});
    const env = { EMQX_URL: emqx.apiUrl, EMQX_API_KEY: emqx.apiKey, EMQX_API_SECRET: emqx.apiSecret, PORT: '0', DATA_DIR: directory.path };
    const onFailure = (error: unknown) => {
      throw error;
    };
    server = await Server.start(loadConfig(env), createLogger({ level: 'silent' }), onFailure);
    collectDefaultMetrics({ register: server.metrics.registry });
    await server.ready();
    const event = publishEvent({ topic: 'a/b' });
    const answer = await fetch(`${server.url}/v1/events`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(event),
    });
    expect(answer.status).toBe(202);
    // The health check is a request to EMQX, which the next scrape shows.
    expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
    metrics = new Map(
      server.metrics.registry
        .getMetricsAsArray()
        .map((metric) => metric as unknown as Described)
        .map((each) => [each.name, each]),
    );
    scraped = (await (await fetch(`${server.url}/metrics`)).text()).split('\n');
  });
  afterAll(async () => {
    await server.stop();
    await emqx.stop();
    directory.remove();
  });

  /** The metric that has these samples, and its labels; null: there is none. */
  const find = (sample: string): { readonly labels: readonly string[] } | null => {
    if (TARGET_METRICS.includes(sample)) return { labels: TARGET_LABELS };
    const suffix = SAMPLES.find((end) => sample.endsWith(end) && metrics.get(sample.slice(0, -end.length))?.type === 'histogram');
    const metric = metrics.get(suffix === undefined ? sample : sample.slice(0, -suffix.length));
    if (metric === undefined || (metric.type === 'histogram' && suffix === undefined)) return null;
    return { labels: [...metric.labelNames, ...TARGET_LABELS, ...(suffix === '_bucket' ? ['le'] : [])] };
  };
  const check = (expr: string, shown: string): void => {
    const { references, grouped } = parsePromql(expr);
    const known = references.map(({ metric, labels }) => {
      const found = find(metric);
      expect([metric, found !== null]).toEqual([metric, true]);
      const unknown = labels.filter((label) => !found?.labels.includes(label));
      expect([metric, unknown]).toEqual([metric, []]);
      return found?.labels ?? [];
    });
    const shownLabels = [...shown.matchAll(/\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}/g)].map(([, label]) => label ?? '');
    for (const label of [...grouped, ...shownLabels]) expect([label, known.flat().includes(label)]).toEqual([label, true]);
  };

  test('/metrics has every metric with its type', () => {
    for (const { name, type } of metrics.values()) expect(scraped).toContain(`# TYPE ${name} ${type}`);
    expect(scraped).toContain('emqx_offline_events_accepted_total{event="message.publish"} 1');
    for (const dependency of ['store', 'queue', 'emqx'])
      expect(scraped).toContain(`emqx_offline_dependency_up{dependency="${dependency}"} 1`);
    expect(scraped.some((line) => line.startsWith('emqx_offline_stored_messages '))).toBe(true);
    expect(scraped.some((line) => line.startsWith('emqx_offline_emqx_request_duration_seconds_count{operation="GET /nodes"} '))).toBe(true);
    expect(scraped.some((line) => line.startsWith('emqx_offline_lane_batch_age_seconds{lane="clients-0"} '))).toBe(true);
  });

  test.each(targets)('the panel "$title" uses existing metrics and labels: $legendFormat', ({ expr, legendFormat, datasource }) => {
    expect(datasource.uid).toBe('${datasource}');
    check(withValues(expr), legendFormat);
  });

  test('the dashboard has variables for data source and filters, and unique panels', () => {
    const variables = dashboard.templating.list.map(({ name, type }) => [name, type]);
    expect(variables).toEqual([
      ['datasource', 'datasource'],
      ['job', 'query'],
      ['instance', 'query'],
    ]);
    for (const { definition } of dashboard.templating.list) {
      if (definition === undefined) continue;
      const [, selector = '', label = ''] = /^label_values\((.*), (\w+)\)$/.exec(definition) ?? [];
      check(withValues(selector), `{{${label}}}`);
    }
    const ids = dashboard.panels.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { type, title, targets: own = [] } of dashboard.panels) expect([title, own.length > 0]).toEqual([title, type !== 'row']);
  });

  test.each(rules)(
    'the alert $alert uses existing metrics and links to its section in the docs',
    ({ alert, expr, labels, annotations }) => {
      const { summary = '', description = '', docs = '' } = annotations;
      check(expr, `${summary} ${description}`);
      expect(labels['severity']).toMatch(/^(warning|critical)$/);
      expect(summary.length).toBeGreaterThan(20);
      expect(description.length).toBeGreaterThan(80);
      const [page = '', anchor = ''] = docs.split('#');
      expect(anchor).toBe(alert.toLowerCase());
      expect(read(page).split('\n')).toContain(`### ${alert}`);
    },
  );

  test('every metric is in the table of docs/metrics.md, as the server describes it', () => {
    const page = read('docs/metrics.md');
    const [begin, end] = ['<!-- metrics: begin -->\n', '<!-- metrics: end -->'];
    const [before = '', rest = ''] = page.split(begin);
    const after = rest.slice(rest.indexOf(end));
    const own = [...metrics.values()].filter(({ name }) => name.startsWith(OWN)).sort((a, b) => (a.name < b.name ? -1 : 1));
    const rows = own.map(({ name, type, labelNames, help }) => {
      const labels = labelNames.map((label) => `\`${label}\``).join(', ');
      return `| \`${name}\` | ${type} | ${labels} | ${help} |`;
    });
    const table = ['| metric | type | labels | meaning |', '| --- | --- | --- | --- |', ...rows, ''].join('\n');
    if (process.env['UPDATE_DOCS'] === '1') writeFileSync(join(ROOT, 'docs/metrics.md'), `${before}${begin}${table}${after}`);
    // After a change: UPDATE_DOCS=1 npx jest test/deploy/monitoring.test.ts
    else expect(rest.slice(0, rest.indexOf(end))).toBe(table);
  });

  test('the metrics of Node.js that docs/metrics.md names exist', () => {
    const named = [...read('docs/metrics.md').matchAll(/`((?:process|nodejs)_\w+)`/g)].map(([, name]) => name ?? '');
    expect(named.length).toBeGreaterThan(2);
    for (const name of named) expect([name, metrics.has(name)]).toEqual([name, true]);
  });
});

describe('the check of expressions', () => {
  test('finds metrics, the labels that they are selected by, and those that they are grouped by', () => {
    expect(parsePromql('sum by (le, job) (rate(a_total{x=~"b{(c", y="d"}[5m])) / max(b) > 6 * 3')).toEqual({
      references: [
        { metric: 'a_total', labels: ['x', 'y'] },
        { metric: 'b', labels: [] },
      ],
      grouped: ['le', 'job'],
    });
  });
  test.each(['sum(a', 'sum(a))', 'rate(a[5m)', 'a{b="c"', 'a{b}', 'a{b=c}', '1 > 0'])('rejects %s', (text) => {
    expect(() => parsePromql(text)).toThrow();
  });
});
