import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { COMMANDS } from '../../src/cli/commands';
import { ServerProcess } from '../support/process';
import { run } from './shell';

const NAMES = COMMANDS.map(({ name }) => name);
const VERSION = (JSON.parse(readFileSync(join(__dirname, '../../package.json'), 'utf8')) as { version: string }).version;
/** No command could start with these. */
const WRONG = { PORT: 'none', STORE_URL: 'oracle://x' };

describe('help', () => {
  it.each([['--help'], ['-h'], ['help'], ['help', '--help']])('lists all commands on stdout: %s', async (...args) => {
    const { code, stdout, stderr } = await run(args, WRONG);
    expect([code, stderr]).toEqual([0, '']);
    for (const name of NAMES) expect(stdout).toMatch(new RegExp(`^  ${name} +\\S`, 'm'));
    expect(stdout).toContain('--version');
  });

  it.each(NAMES)('of %s has usage, options, examples, settings and exit codes', async (name) => {
    const { code, stdout, stderr } = await run([name, '--help'], WRONG);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(new RegExp(`^Usage: emqx-offline-store ${name}`));
    for (const part of ['Options:', 'Examples:', 'Settings: ', 'Exit codes:', '-h, --help'])
      expect(stdout).toContain(`\n${part.startsWith('-') ? '  ' : ''}${part}`);
    for (const exitCode of [0, 64, 78]) expect(stdout).toMatch(new RegExp(`^  ${exitCode} +\\S`, 'm'));
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThan(128);
    for (const args of [
      [name, '-h'],
      ['help', name],
      [name, '--dry-run', '-h'].filter((arg) => name === 'migrate' || !arg.startsWith('--')),
    ])
      expect((await run(args, WRONG)).stdout).toBe(stdout);
  });

  it('of an unknown command is an error', async () => {
    expect(await run(['help', 'serv'])).toEqual({
      code: 64,
      stdout: '',
      stderr: 'unknown command serv: did you mean serve?; see "emqx-offline-store --help"\n',
    });
  });

  it('is written to stderr with exit code 64 when no command is given', async () => {
    const { code, stdout, stderr } = await run([]);
    expect([code, stdout]).toEqual([64, '']);
    expect(stderr).toMatch(/^Usage: emqx-offline-store COMMAND/);
  });
});

it.each([['--version'], ['serve', '--version'], ['rules', '--version']])('the version is printed on stdout: %s', async (...args) => {
  expect(await run(args, WRONG)).toEqual({ code: 0, stdout: `${VERSION}\n`, stderr: '' });
});

describe('a wrong command line exits with 64 and names the error', () => {
  it.each(NAMES)('an unknown option of %s', async (name) => {
    for (const flag of ['--hlep', '--quiet', '-x'])
      expect(await run([name, ...(name === 'backup' ? ['file'] : []), flag], WRONG)).toEqual({
        code: 64,
        stdout: '',
        stderr: expect.stringMatching(
          new RegExp(
            `^unknown option ${flag} of "emqx-offline-store ${name}"(: did you mean --help\\?)?; see "emqx-offline-store ${name} --help"\n$`,
          ),
        ) as string,
      });
  });

  it.each([
    [['doctor', 'all'], 'unexpected argument "all" of "emqx-offline-store doctor"; see "emqx-offline-store doctor --help"'],
    [['backup'], 'an argument is missing: emqx-offline-store backup FILE; see "emqx-offline-store backup --help"'],
    [['migrate', '--from'], '--from needs a value: --from embedded:; see "emqx-offline-store migrate --help"'],
    [['migrate', '--from', '--dry-run'], '--from needs a value: --from embedded:; see "emqx-offline-store migrate --help"'],
    [['migrate', '--to', 'a', '--to=b'], '--to is given twice; see "emqx-offline-store migrate --help"'],
    [['migrate', '--force=yes'], '--force takes no value; see "emqx-offline-store migrate --help"'],
    [
      ['rules', '--intall'],
      'unknown option --intall of "emqx-offline-store rules": did you mean --install?; see "emqx-offline-store rules --help"',
    ],
    [['rulez'], 'unknown command rulez: did you mean rules?; see "emqx-offline-store --help"'],
    [['--hepl'], 'unknown option --hepl; see "emqx-offline-store --help"'],
  ])('%j', async (args, message) => {
    expect(await run(args, WRONG)).toEqual({ code: 64, stdout: '', stderr: `${message}\n` });
  });
});

// One start of a process for both streams and the exit code.
it('as a process', async () => {
  const version = await ServerProcess.run(WRONG, '--version');
  expect(await version.exitCode).toBe(0);
  expect(version.output).toBe(`${VERSION}\n`);
  const unknown = await ServerProcess.run(WRONG, 'serve', '--prot', '1');
  expect(await unknown.exitCode).toBe(64);
  expect(unknown.output).toContain('unknown option --prot of "emqx-offline-store serve"');
});

describe('docs/cli.md', () => {
  const text = readFileSync(join(__dirname, '../../docs/cli.md'), 'utf8');
  const sections = new Map(
    text.split(/^## /m).map((section): [string, string] => [section.slice(0, section.indexOf('\n')).replaceAll('`', ''), section]),
  );
  const flagsIn = (of: string): string[] => [...new Set([...of.matchAll(/(?<![\w-])--[a-z][a-z-]*/g)].map(([flag]) => flag))].sort();

  it.each(NAMES)('has the options and the exit codes of %s, and no others', async (name) => {
    const { stdout } = await run([name, '--help']);
    const section = sections.get(name) ?? '';
    const shared = ['--help'];
    // Examples may show the options of other programs.
    const inHelp = flagsIn(stdout.replace(/^Examples:[\s\S]*?(?=^Settings:)/m, ''));
    expect(flagsIn(section).filter((flag) => !shared.includes(flag))).toEqual(inHelp.filter((flag) => !shared.includes(flag)));
    for (const { code, meaning } of COMMANDS.find((command) => command.name === name)?.exitCodes ?? [])
      expect(section.replace(/\s+/g, ' ')).toContain(`| ${code} | ${meaning} |`);
  });

  it('has a section for each command and none for others', () => {
    expect([...sections.keys()].slice(1).sort()).toEqual([...NAMES, 'All commands'].sort());
  });
});
