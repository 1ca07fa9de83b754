import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { checkAvailable } from '../../src/config/available';
import { loadConfig } from '../../src/config/load';
import { contract } from '../../src/contract/contract';
import { checkMove } from '../../src/ops/move-embedded';
import { ROOT } from './markdown';
import type { Command } from './shell';

/** What is looked at where a command is not run: it needs another machine or program, or what the reader fills in. */
export interface NamedCheck {
  readonly name: string;
  readonly fits: (command: Command) => boolean;
  /** @throws when something that the command names does not exist. */
  readonly check: (command: Command) => void;
}

const program = (words: readonly string[]) => words[0] ?? '';
/** What is behind the name of our program, which is started from the clone, from npm's folder, or by its own name; null: it is another program. */
function ownArguments({ words }: Command): readonly string[] | null {
  if (program(words) === 'emqx-offline-store') return words.slice(1);
  if (program(words) === 'node' && words[1] === 'dist/main.js') return words.slice(2);
  const isNpm = program(words) === 'npm' && words[1] === 'exec';
  return isNpm ? words.slice(words.indexOf('emqx-offline-store') + 1) : null;
}
const runs =
  (...names: string[]) =>
  (command: Command) =>
    names.includes(program(command.words));
const fail = (text: string): never => {
  throw new Error(text);
};

const packageJson = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  name: string;
  version: string;
  scripts: Record<string, string>;
};

/** All TypeScript files of a folder, as one text. */
function sources(folder: string): string {
  const names = readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  return names.map((name) => readFileSync(join(ROOT, folder, name), 'utf8')).join('\n');
}

/** Settings as the server reads them. Files that are named are not there: certificates and keys are those of the tests, CONFIG_FILE is empty. */
function checkSettings({ env }: Command): void {
  const fixture = (path: string) =>
    /\.ya?ml$/.test(path) ? '{}' : readFileSync(join(ROOT, 'test/fixtures/tls', /key/.test(path) ? 'key.pem' : 'cert.pem'), 'utf8');
  checkAvailable(loadConfig({ ...env }, fixture));
}

/** The script exists, and so does each option that it is given: the folder of its program names it. */
function checkScript({ words }: Command): void {
  const [, , name = ''] = words;
  const script = packageJson.scripts[name] ?? fail(`package.json has no script ${name}`);
  const file = /(?:tsx|node) ([\w./-]+)/.exec(script)?.[1] ?? '';
  const text = file === '' ? '' : sources(dirname(file));
  const separator = words.indexOf('--');
  const options = separator === -1 ? [] : words.slice(separator + 1);
  for (const option of options.filter((each) => /^-?-?[a-z][\w-]+$/.test(each))) {
    const known = option.replace(/^--/, '');
    if (!new RegExp(`\\b${known}\\b`).test(text)) fail(`${script} does not know ${option}`);
  }
}

/** Commands and options of our own program: its sources name them, in the help or where they are read. */
function checkProgram(command: Command): void {
  const [name = '', ...args] = ownArguments(command) ?? [];
  checkSettings(command);
  const text = sources('src');
  if (!name.startsWith('-') && !new RegExp(`(case|name:) '${name}'`).test(text)) fail(`emqx-offline-store has no command ${name}`);
  for (const option of [name, ...args].filter((arg) => arg.startsWith('--')).map((arg) => arg.slice(2))) {
    const isKnown = new RegExp(`--${option}(?![\\w-])|name: '${option}'|\\b'?${option}'?: \\{ type`).test(text);
    if (!isKnown) fail(`${name} has no option --${option}`);
  }
  const valueOf = (option: string) => (args.includes(option) ? args[args.indexOf(option) + 1] : undefined);
  if (name === 'migrate' && args.includes('--from')) checkMove(valueOf('--from'), valueOf('--to'));
}

interface Operation {
  readonly parameters?: readonly { readonly name?: string; readonly $ref?: string }[];
  readonly requestBody?: { readonly content: { readonly 'application/json': { readonly schema: object } } };
}

/** Path, method and query parameters are in openapi.yaml, and a body is valid. */
function checkRequest({ words }: Command): void {
  const url = new URL(words.find((word) => word.startsWith('http')) ?? fail('no URL'));
  const valueOf = (option: string) => (words.includes(option) ? words[words.indexOf(option) + 1] : undefined);
  const body = valueOf('-d');
  const method = (valueOf('-X') ?? (body === undefined ? 'GET' : 'POST')).toLowerCase();
  const paths = contract.find('/paths') as Record<string, Record<string, Operation>>;
  const matches = (template: string) => new RegExp(`^${template.replace(/\{\w+\}/g, '[^/]+')}$`).test(url.pathname);
  // A path without parameters comes before one that has them, as in the server.
  const templates = Object.keys(paths).sort((one, other) => Number(one.includes('{')) - Number(other.includes('{')));
  const operation = paths[templates.find(matches) ?? '']?.[method] ?? fail(`openapi.yaml has no ${method.toUpperCase()} ${url.pathname}`);
  const names = (operation.parameters ?? []).map(({ name, $ref }) => name ?? (contract.find(`${($ref ?? '').slice(1)}/name`) as string));
  for (const name of url.searchParams.keys()) if (!names.includes(name)) fail(`${url.pathname} has no parameter ${name}`);
  if (body === undefined) return;
  const { schema } = operation.requestBody?.content['application/json'] ?? fail(`${method.toUpperCase()} ${url.pathname} takes no body`);
  const flaws = contract.compile(schema)(JSON.parse(body));
  if (flaws.length > 0) fail(`${url.pathname}: ${flaws.map(({ path, message }) => `${path} ${message}`).join('; ')}`);
}

/** Every word that looks like a file of this repository is one. */
function checkFiles({ words }: Command): void {
  const folders = ['docker/', 'deploy/', 'rules/', 'migrations/', 'test/', 'docs/', 'bench/'];
  const named = words.map((word) => word.replace(/^\.\//, '')).filter((word) => folders.some((folder) => word.startsWith(folder)));
  for (const path of named) if (!existsSync(join(ROOT, path))) fail(`${path} does not exist`);
}

/** The keys and tables that a query names are ours. */
function checkNames(folder: string, named: readonly string[]): void {
  const paths = readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' });
  const text = paths.map((path) => (/\.\w+$/.test(path) ? readFileSync(join(ROOT, folder, path), 'utf8') : '')).join('\n');
  if (named.length === 0) fail('names nothing of ours');
  for (const name of named) if (!text.includes(name)) fail(`${name} is not in ${folder}`);
}

export const NAMED_CHECKS: readonly NamedCheck[] = [
  { name: 'settings', fits: ({ words }) => words.length === 0, check: checkSettings },
  { name: 'npm start', fits: ({ words }) => words.join(' ') === 'npm start', check: checkSettings },
  {
    name: 'npm ci, npm test',
    fits: ({ words }) => words[0] === 'npm' && ['ci', 'test'].includes(words[1] ?? ''),
    check: ({ words }) => {
      const ci = readFileSync(join(ROOT, '.ci/run'), 'utf8');
      if (!ci.includes(`npm ${words[1]}`)) fail(`.ci/run does not run npm ${words[1]}`);
    },
  },
  { name: 'npm run', fits: ({ words }) => words[0] === 'npm' && words[1] === 'run', check: checkScript },
  {
    name: 'npm audit',
    fits: ({ words }) => words.join(' ') === 'npm audit --omit=dev',
    check: () => void (existsSync(join(ROOT, 'package-lock.json')) || fail('no lock file to audit')),
  },
  {
    name: 'npx jest',
    fits: ({ words }) => words[0] === 'npx' && words[1] === 'jest',
    check: checkFiles,
  },
  {
    name: 'the tarball',
    fits: ({ words }) => words[0] === 'npm' && ['pack', 'install'].includes(words[1] ?? ''),
    check: ({ words }) => {
      const { name, version } = packageJson;
      const other = words.find((word) => word.endsWith('.tgz') && basename(word) !== `${name}-${version}.tgz`);
      if (other !== undefined) fail(`${other} is not the tarball of ${name} ${version}`);
    },
  },
  { name: 'the program', fits: (command) => ownArguments(command) !== null, check: checkProgram },
  { name: "the shell's own words", fits: runs('for', 'done'), check: () => undefined },
  {
    name: 'a request to the server',
    fits: ({ words }) => words[0] === 'curl' && words.some((word) => word.startsWith('http://127.0.0.1:8480')),
    check: checkRequest,
  },
  {
    name: "a request to EMQX: an import of a file, as EMQX takes it (the tests' own imports are the same request)",
    fits: ({ words }) => words[0] === 'curl' && words.some((word) => word.endsWith('/api/v5/configs?mode=merge')),
    check: (command) => {
      const { words } = command;
      if (!words.includes('PUT') || !words.includes('Content-Type: text/plain')) fail('EMQX takes the file with PUT and text/plain only');
      const file = /@(\S+)/.exec(words.join(' '))?.[1] ?? fail('no file');
      JSON.parse(readFileSync(join(ROOT, file), 'utf8'));
    },
  },
  {
    name: 'redis-cli',
    fits: runs('redis-cli'),
    check: ({ words }) =>
      checkNames(
        'src/stores/redis',
        words.flatMap((word) => /^mqtt:([a-z-]+):/.exec(word)?.[1] ?? []),
      ),
  },
  {
    name: 'aws dynamodb',
    fits: runs('aws'),
    check: ({ words }) => checkNames('migrations/dynamodb', [words[words.indexOf('--table-name') + 1] ?? '']),
  },
  {
    name: 'other programs: the files of this repository that they name',
    fits: runs(
      ...[
        'docker',
        'kubectl',
        'helm',
        'systemctl',
        'systemd-run',
        'journalctl',
        'sudo',
        'git',
        'apt',
        'apt-get',
        'cp',
        'tar',
        'sed',
        'mkdir',
        'install',
        'cd',
      ],
    ),
    check: checkFiles,
  },
];
