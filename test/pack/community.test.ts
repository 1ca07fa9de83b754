import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';

const ROOT = resolve(__dirname, '../..');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

const { repository, homepage, bugs, license, version, scripts, engines } = JSON.parse(read('package.json')) as {
  readonly repository: { readonly url: string };
  readonly homepage: string;
  readonly bugs: { readonly url: string };
  readonly license: string;
  readonly version: string;
  readonly scripts: Readonly<Record<string, string>>;
  readonly engines: { readonly node: string };
};
const HOME = repository.url.replace(/^git\+|\.git$/g, '');

/** Names of the npm scripts that a text calls. */
function calledScripts(text: string): string[] {
  const names = [...text.matchAll(/\bnpm run (?:--silent |-s )?([\w:-]+)/g)].map(([, name = '']) => name);
  return [...names, ...(/\bnpm (test|start)\b/.test(text) ? [/\bnpm (test|start)\b/.exec(text)?.[1] ?? ''] : [])];
}

describe('the repository', () => {
  it('has the licence of package.json in full', () => {
    expect(license).toBe('Apache-2.0');
    const text = read('LICENSE');
    // https://www.apache.org/licenses/LICENSE-2.0.txt
    expect(createHash('sha256').update(text).digest('hex')).toBe('cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30');
  });

  it('has the address of package.json everywhere', () => {
    expect(repository.url).toMatch(/^git\+https:\/\/.+\.git$/);
    expect([homepage, bugs.url]).toEqual([`${HOME}#readme`, `${HOME}/issues`]);
    const [, name = ''] = /([^/]+\/[^/]+)$/.exec(HOME) ?? [];
    const files = ['docker/Dockerfile', 'deploy/helm/emqx-offline-store/Chart.yaml', '.github/ISSUE_TEMPLATE/config.yml', 'CHANGELOG.md'];
    for (const file of files) {
      const addresses = [...read(file).matchAll(/https:\/\/github\.com\/[\w-]+\/[\w-]+/g)].map(([address]) => address);
      expect([file, [...new Set(addresses)]]).toEqual([file, [HOME]]);
    }
    expect(read('CONTRIBUTING.md')).toContain('`repository`');
    expect(name).toMatch(/^\S+$/);
  });

  it('has a changelog that begins with the unreleased changes', () => {
    const headings = [...read('CHANGELOG.md').matchAll(/^## \[(.+?)\]/gm)].map(([, name]) => name);
    expect(headings[0]).toBe('Unreleased');
    expect(read('CHANGELOG.md')).toContain(version);
  });
});

describe('the GitHub workflow and templates', () => {
  const workflow = parse(read('.github/workflows/ci.yml')) as {
    readonly permissions: unknown;
    readonly concurrency: { readonly 'cancel-in-progress': boolean };
    readonly jobs: Readonly<
      Record<
        string,
        {
          readonly strategy?: { readonly matrix: { readonly node: readonly number[] } };
          readonly steps: readonly { readonly uses?: string; readonly run?: string }[];
          readonly 'timeout-minutes': number;
        }
      >
    >;
  };
  const steps = Object.values(workflow.jobs).flatMap((job) => job.steps);

  it('run tests with each supported Node.js and with all servers', () => {
    const matrix = workflow.jobs['node']?.strategy?.matrix.node ?? [];
    expect(matrix).toEqual([20, 22, 24]);
    expect(Number(/\d+/.exec(engines.node)?.[0])).toBe(matrix[0]);
    expect(workflow.jobs['node']?.steps.flatMap(({ run = [] }) => run)).toEqual(['npm ci', 'npm run check', 'npm test -- --ci']);
    expect(workflow.jobs['servers']?.steps.at(-1)?.run).toBe('.ci/run');
    expect(statSync(join(ROOT, '.ci/run')).mode & 0o111).not.toBe(0);
    for (const job of Object.values(workflow.jobs)) expect(job['timeout-minutes']).toBeGreaterThan(0);
  });

  it('have read-only permission, cancel older runs and pin actions', () => {
    expect(workflow.permissions).toEqual({ contents: 'read' });
    expect(workflow.concurrency['cancel-in-progress']).toBe(true);
    for (const { uses } of steps) if (uses !== undefined) expect(uses).toMatch(/^actions\/[\w-]+@v\d+$/);
  });

  it.each(['.github/workflows/ci.yml', '.github/pull_request_template.md', '.ci/run', 'CONTRIBUTING.md', 'README.md', 'docs/install.md'])(
    '%s names existing npm scripts',
    (file) => {
      const called = calledScripts(read(file));
      expect(called.filter((name) => scripts[name] === undefined)).toEqual([]);
      if (file !== 'docs/install.md') expect(called.length).toBeGreaterThan(0);
    },
  );

  it.each(['bug', 'feature'])('have a valid issue form for a %s', (name) => {
    const form = parse(read(`.github/ISSUE_TEMPLATE/${name}.yml`)) as {
      readonly name: string;
      readonly description: string;
      readonly body: readonly { readonly type: string; readonly id?: string; readonly attributes: Record<string, unknown> }[];
    };
    expect(form.name !== '' && form.description !== '').toBe(true);
    const ids = form.body.flatMap(({ id = [] }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { type, attributes } of form.body) {
      expect(['markdown', 'textarea', 'input', 'dropdown', 'checkboxes']).toContain(type);
      expect(attributes[type === 'markdown' ? 'value' : 'label']).toMatch(/\S/);
    }
    if (name === 'bug') expect(ids).toEqual(['what', 'version', 'emqx', 'store', 'rule', 'doctor', 'log']);
  });

  it('link to docs/troubleshooting.md and SECURITY.md', () => {
    const { contact_links: links } = parse(read('.github/ISSUE_TEMPLATE/config.yml')) as { contact_links: { url: string }[] };
    expect(links.map(({ url }) => url.replace(`${HOME}/blob/main/`, ''))).toEqual(['docs/troubleshooting.md', 'SECURITY.md']);
    expect(readdirSync(join(ROOT, '.github/ISSUE_TEMPLATE')).sort()).toEqual(['bug.yml', 'config.yml', 'feature.yml']);
  });
});

describe('CONTRIBUTING.md', () => {
  const text = read('CONTRIBUTING.md');

  it('names files and folders that exist', () => {
    const paths = [...text.matchAll(/`((?:src|test|docs|migrations|docker|deploy|\.ci|\.github)\/[\w./-]*)`/g)].map(
      ([, path = '']) => path,
    );
    expect(paths.length).toBeGreaterThan(10);
    // NAME stands for the name of a new store.
    for (const path of paths.filter((each) => !each.includes('NAME'))) expect([path, existsSync(join(ROOT, path))]).toEqual([path, true]);
  });

  it('runs tests that jest finds', () => {
    const patterns = [...text.matchAll(/npx jest (test\/[\w./-]+)/g)].map(([, pattern = '']) => pattern);
    expect(patterns.length).toBeGreaterThan(0);
    for (const pattern of patterns) {
      const listed = execFileSync('npx', ['--no-install', 'jest', '--listTests', pattern], { cwd: ROOT, encoding: 'utf8' });
      expect([pattern, listed.includes('.test.ts')]).toEqual([pattern, true]);
    }
    // Each start of jest takes many seconds on a busy machine.
  }, 240_000);
});
