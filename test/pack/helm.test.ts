import { spawnSync } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import Ajv from 'ajv';
import { parse, parseAllDocuments } from 'yaml';
import { loadConfig } from '../../src/config/load';
import { HELM } from '../services/helm';
import { withProgram } from '../support/backends';
import { temporaryDirectory } from '../support/temp';

const CHART = resolve(__dirname, '../../deploy/helm/emqx-offline-store');
const read = (name: string): string => readFileSync(join(CHART, name), 'utf8');
const templates = readdirSync(join(CHART, 'templates'));

type Values = Readonly<Record<string, unknown>>;
const values = parse(read('values.yaml')) as Values & { readonly secrets: Values };

const TOKENS = { INGEST_TOKEN: 'ingest', ADMIN_TOKEN: 'admin' };
const SHARED = { STORE_URL: 'postgres://u:p@db/mqtt', QUEUE_URL: 'redis://queue' };

describe('the Helm chart', () => {
  it('has the version of package.json', () => {
    const { version, description } = JSON.parse(readFileSync(join(CHART, '../../../package.json'), 'utf8')) as Record<string, string>;
    expect(parse(read('Chart.yaml'))).toMatchObject({ apiVersion: 'v2', name: 'emqx-offline-store', appVersion: version, description });
  });

  it('has valid values with an entry for each in the schema', () => {
    const schema = JSON.parse(read('values.schema.json')) as { properties: Record<string, unknown> };
    const validate = new Ajv({ allowUnionTypes: true }).compile(schema);
    expect([validate(values), validate.errors]).toEqual([true, null]);
    expect(Object.keys(schema.properties).sort()).toEqual([...Object.keys(values), 'global'].sort());
    expect(validate({ ...values, embeded: {} })).toBe(false);
  });

  it('uses every value, and no undefined one', () => {
    const all = templates.map((name) => read(`templates/${name}`)).join('\n');
    const used = [...all.matchAll(/[.$]?[Vv]alues\.([A-Za-z.]+)/g)].map(([, path = '']) => path);
    for (const path of used) {
      const value = path.split('.').reduce<unknown>((at, key) => (at as Values | undefined)?.[key], values);
      expect([path, value === undefined]).toEqual([path, false]);
    }
    for (const key of Object.keys(values)) expect([key, used.some((path) => path.split('.')[0] === key)]).toEqual([key, true]);
  });

  it('closes each block of its templates', () => {
    for (const name of templates) {
      const words = [...read(`templates/${name}`).matchAll(/\{\{-? *(if|with|range|define|end)\b/g)].map(([, word]) => word);
      expect([name, words.filter((word) => word === 'end').length]).toEqual([name, words.filter((word) => word !== 'end').length]);
    }
  });

  withProgram('helm', () => rendered(), [HELM, 'version']);
});

interface Resource {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly stringData?: Readonly<Record<string, string>>;
  readonly spec: {
    readonly replicas: number;
    readonly template: { readonly spec: { readonly containers: readonly Container[]; readonly securityContext: Values } };
    readonly volumeClaimTemplates: readonly unknown[];
  } & Values;
}
interface Container extends Values {
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
}

/** What `helm template` makes of the chart. */
function rendered(): void {
  const helm = (command: readonly string[], given: Values) =>
    spawnSync(HELM, [...command, CHART, '--values', '-'], { input: JSON.stringify(given), encoding: 'utf8' });
  const template = (given: Values): Resource[] => {
    const { status, stdout, stderr } = helm(['template', 'trial'], given);
    if (status !== 0) throw new Error(stderr);
    return parseAllDocuments(stdout).map((document) => document.toJS() as Resource);
  };
  const one = (resources: readonly Resource[], kind: string): Resource => {
    const found = resources.find((resource) => resource.kind === kind);
    if (found === undefined) throw new Error(`no ${kind}`);
    return found;
  };
  const kinds = (given: Values): string[] =>
    template(given)
      .map(({ kind }) => kind)
      .sort();
  const container = (resource: Resource): Container => {
    const [first] = resource.spec.template.spec.containers;
    if (first === undefined) throw new Error('no container');
    return first;
  };
  /** The settings that the server gets. */
  const environment = (resources: readonly Resource[]) => ({ ...one(resources, 'ConfigMap').data, ...one(resources, 'Secret').stringData });

  it('passes helm lint', () => {
    const { status, stdout } = helm(['lint', '--strict'], { secrets: TOKENS });
    expect([status, stdout]).toEqual([0, expect.stringContaining('0 chart(s) failed')]);
  });

  it('by default runs one server with the embedded database on a volume', () => {
    const resources = template({ secrets: TOKENS });
    expect(kinds({ secrets: TOKENS })).toEqual(['ConfigMap', 'Secret', 'Service', 'StatefulSet']);
    const set = one(resources, 'StatefulSet');
    expect([set.spec.replicas, set.spec.volumeClaimTemplates.length]).toEqual([1, 1]);
    expect(container(set).volumeMounts).toContainEqual({ name: 'data', mountPath: '/data' });
    expect(set.spec.template.spec.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 1000, fsGroup: 1000 });
    expect(container(set)['securityContext']).toEqual({
      ...{ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
    });
  });

  it('runs several servers on databases of their own', () => {
    const given = { embedded: { enabled: false }, replicaCount: 3, secrets: { ...TOKENS, ...SHARED }, serviceMonitor: { enabled: true } };
    const resources = template(given);
    expect(kinds(given)).toEqual(['ConfigMap', 'Deployment', 'PodDisruptionBudget', 'Secret', 'Service', 'ServiceMonitor']);
    const deployment = one(resources, 'Deployment');
    expect(deployment.spec.replicas).toBe(3);
    expect(container(deployment).volumeMounts.map(({ name }) => name)).toEqual(['tmp']);
  });

  it('gives the server settings that it takes', () => {
    const policies = [{ filter: 'alerts/#', ttl: '2h' }, { filter: '#' }];
    const secrets = { ...TOKENS, ...SHARED, EMQX_API_KEY: 'key', EMQX_API_SECRET: 'secret' };
    const config = loadConfig(environment(template({ embedded: { enabled: false }, secrets, policies })));
    expect(config).toMatchObject({ host: '0.0.0.0', port: 8480, dataDir: '/data', ingestToken: 'ingest', adminToken: 'admin' });
    expect([config.store.scheme, config.queue.scheme, config.emqx.credentials?.apiKey]).toEqual(['postgres', 'redis', 'key']);
    expect(config.policies.map(({ filter, ttlMs }) => [filter, ttlMs])).toEqual([
      ['alerts/#', 7_200_000],
      ['#', 604_800_000],
    ]);
  });

  it("probes /healthz and /readyz with the server's protocol", () => {
    for (const [tls, scheme] of [
      ['', 'HTTP'],
      ['cert', 'HTTPS'],
    ] as const) {
      const resources = template({ secrets: TOKENS, tls: { existingSecret: tls } });
      const { startupProbe, livenessProbe, readinessProbe, volumeMounts } = container(one(resources, 'StatefulSet'));
      const probe = (path: string) => expect.objectContaining({ httpGet: { path, port: 'http', scheme } }) as unknown;
      expect([startupProbe, livenessProbe, readinessProbe]).toEqual([probe('/healthz'), probe('/healthz'), probe('/readyz')]);
      const { TLS_CERT_FILE = '', TLS_KEY_FILE = '' } = environment(resources);
      const mounted = volumeMounts.find(({ name }) => name === 'tls')?.mountPath;
      expect([TLS_CERT_FILE, TLS_KEY_FILE]).toEqual(tls === '' ? ['', ''] : [`${mounted}/tls.crt`, `${mounted}/tls.key`]);
    }
  });

  it('uses an existing Secret and creates none', () => {
    const resources = template({ existingSecret: 'mine' });
    expect(resources.map(({ kind }) => kind)).not.toContain('Secret');
    expect(container(one(resources, 'StatefulSet'))['envFrom']).toContainEqual({ secretRef: { name: 'mine' } });
  });

  it.each<[string, Values, string]>([
    ['no tokens', {}, 'secrets.INGEST_TOKEN is required'],
    ['one token', { secrets: { INGEST_TOKEN: 'x' } }, 'secrets.ADMIN_TOKEN is required'],
    ['several servers without a database', { secrets: TOKENS, embedded: { enabled: false } }, 'secrets.STORE_URL is required'],
    ['a setting of its own', { secrets: TOKENS, settings: { PORT: 1 } }, 'settings.PORT is set by the chart'],
    ['an unknown value', { secrets: TOKENS, replicas: 2 }, 'Additional property replicas is not allowed'],
  ])('rejects %s', (_what, given, message) => {
    const { status, stderr } = helm(['template', 'trial'], given);
    expect([status, stderr]).toEqual([1, expect.stringContaining(message)]);
  });

  it('prints how to install the rule, with an address that EMQX reaches', () => {
    let notes = '';
    // Only an installation prints the notes, and it needs a cluster: here they are a template of their own.
    const directory = temporaryDirectory();
    try {
      const chart = join(directory.path, 'chart');
      cpSync(CHART, chart, { recursive: true });
      const indented = read('templates/NOTES.txt').replace(/^/gm, '  ');
      writeFileSync(join(chart, 'templates/notes.yaml'), `notes: |\n${indented}`);
      const options = ['--namespace', 'mqtt', '--show-only', 'templates/notes.yaml', '--values', '-'];
      const { stdout } = spawnSync(HELM, ['template', 'trial', chart, ...options], {
        input: JSON.stringify({ secrets: TOKENS }),
        encoding: 'utf8',
      });
      notes = (parse(stdout) as { notes: string }).notes;
    } finally {
      directory.remove();
    }
    expect(notes).toContain('statefulset/trial-emqx-offline-store');
    expect(notes).toContain('node dist/main.js rules --install --yes --url http://trial-emqx-offline-store.mqtt.svc:8480 ');
  });
}
