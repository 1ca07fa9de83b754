import { basename, join } from 'node:path';
import { parseCommand } from '../../src/cli/parse';
import { rules, rulesOptionsOf } from '../../src/cli/rules';
import { loadConfig } from '../../src/config/load';
import { rulesCommand } from '../../src/ops/rules-command';
import { installCommand, programCommand } from '../../src/ops/rules-text';
import { EmqxStandIn } from '../standin';
import { ServerProcess } from '../support/process';
import { temporaryDirectory } from '../support/temp';

const TOKEN = 'ingest-token-of-this-test';

describe('emqx-offline-store rules', () => {
  let emqx: EmqxStandIn;
  let key: Record<string, string>;
  beforeEach(async () => {
    emqx = await EmqxStandIn.start();
    emqx.rest.checksConnectors = true;
    key = { EMQX_URL: emqx.apiUrl, EMQX_API_KEY: emqx.apiKey, EMQX_API_SECRET: emqx.apiSecret };
  });
  afterEach(() => emqx.stop());

  /** `answers`: of an operator at a terminal; null: there is none. */
  async function run(
    args: string[],
    settings: Record<string, string> = key,
    answers: string[] | null = null,
  ): Promise<{ code: number; lines: string[] }> {
    let output = '';
    const ask = answers === null ? null : async () => answers.shift() ?? '';
    const given = parseCommand(rules, args);
    if (given === null) throw new TypeError('the help was asked for');
    const code = await rulesCommand(rulesOptionsOf(given), {
      config: () => loadConfig(settings),
      write: (text) => (output += text),
      hide: (text) => text,
      ask,
      waitMs: 300,
    });
    return { code, lines: output.trim().split('\n') };
  }
  const named = (): string[] => [
    ...Object.keys(emqx.rest.installed.connectors),
    ...Object.keys(emqx.rest.installed.actions),
    ...Object.keys(emqx.rest.installed.rules),
  ];

  it('asks before it changes anything', async () => {
    const { code, lines } = await run(['--install'], key, ['n']);
    expect(code).toBe(1);
    expect(lines).toContain('+ connector http:offline_store');
    expect(lines).toContain('    url: http://127.0.0.1:8480');
    expect(lines.at(-1)).toBe('nothing was changed');
    expect(named()).toEqual([]);
    await run(['--install'], key, ['y']);
    expect(named()).toEqual(['offline_store', 'offline_messages', 'offline_messages']);
  });

  it('changes nothing without a terminal and without --yes', async () => {
    await expect(run(['--install'])).rejects.toThrow('--install: there is no terminal to ask on, and nothing was changed: add --yes');
    expect(named()).toEqual([]);
  });

  it('reports that EMQX does not reach the server, and exits with 1', async () => {
    const { code, lines } = await run(['--install', '--yes', '--url', 'http://127.0.0.1:1']);
    expect(code).toBe(1);
    expect(lines).toContainEqual(
      expect.stringMatching(
        /^NOT CONNECTED: EMQX does not reach the server at http:\/\/127\.0\.0\.1:1: connector disconnected \(.*econnrefused\)/,
      ),
    );
    // It is there all the same, and the next run has nothing to change.
    const again = await run(['--install', '--url', 'http://127.0.0.1:1']);
    expect(again.lines[0]).toBe(
      'nothing to change: offline-messages is installed as offline, with this address, these topics and this token',
    );
    expect(again.code).toBe(1);
  });

  it.each<[string, string[], Record<string, string>, RegExp]>([
    ['an unknown set', ['--set', 'all'], {}, /^--set: "all" must be one of offline-messages, client-state, offline-only, full/],
    ['two sets', ['full', '--set', 'client-state'], {}, /^rules: takes one rule set/],
    ['both ways at once', ['--install', '--remove'], {}, /^rules: takes --install or --remove, not both/],
    ['a name that EMQX does not accept', ['--install', '--name', 'a b'], {}, /^--name: "a b" must begin with/],
    ['a topic that would become SQL', ['--install', '--topic', "t/'"], {}, /^--topic: /],
    ['an invalid address', ['--install', '--url', 'store:8480'], {}, /^--url: must be this server's address/],
    ['another EMQX than that of EMQX_URL', ['--install', '--emqx', '4'], {}, /^--emqx: is 4, but EMQX_URL ends with \/api\/v5/],
    ['to install the rules of another EMQX', ['--install', '--emqx', '4'], {}, /^--emqx: is 4, but EMQX_URL ends with \/api\/v5/],
    ['two addresses for EMQX 5', ['--url', 'http://a:1', '--url', 'http://b:1'], {}, /^--url: is given twice/],
    ['an unknown version', ['--emqx', '3'], {}, /^--emqx: must be 4 or 5/],
    ['no key', ['--install'], { EMQX_API_KEY: '', EMQX_API_SECRET: '' }, /^EMQX_API_KEY: is not set: create an API key/],
    [
      'an address that only the operator knows',
      ['--install'],
      { HOST: '0.0.0.0', INGEST_TOKEN: 'x', ADMIN_TOKEN: 'y' },
      /^--url: is missing: HOST is 0\.0\.0\.0/,
    ],
    ['topics that have no effect', ['--remove', '--topic', 't/#'], {}, /^--remove: finds the rules by --name and --set/],
  ])('rejects %s', async (_what, args, settings, message) => {
    await expect(run(args, { ...key, ...settings })).rejects.toThrow(
      expect.objectContaining({ name: 'SettingError', message: expect.stringMatching(message) as string }) as Error,
    );
    expect(named()).toEqual([]);
  });

  it('prints the rules of EMQX 4 with a fallback server', async () => {
    const { code, lines } = await run(['--emqx', '4', '--url', 'http://a:8480', '--url', 'http://b:8480', '--name', 'north'], key);
    expect(code).toBe(0);
    const { resources } = JSON.parse(lines.join('\n')) as { resources: { id: string; config: { url: string } }[] };
    expect(resources.map(({ id, config }) => [id, config.url])).toEqual([
      ['north_store', 'http://a:8480'],
      ['north_store_fallback', 'http://b:8480'],
    ]);
  });

  it('installs the rules in EMQX 4.4, and removes them', async () => {
    const old = await EmqxStandIn.start({}, 4);
    try {
      const settings = { EMQX_URL: old.apiUrl, EMQX_API_KEY: old.apiKey, EMQX_API_SECRET: old.apiSecret };
      const installed = await run(['--install', '--yes', '--url', 'http://a:8480', '--url', 'http://b:8480'], settings);
      expect(installed.code).toBe(0);
      expect(installed.lines).toEqual(
        expect.arrayContaining([
          'added: resource offline_store_fallback',
          'added: rule offline_messages',
          'connected: EMQX reaches the server at http://a:8480',
        ]),
      );
      expect((await run(['--remove', '--yes'], settings)).code).toBe(0);
      expect(old.rulesV4.installed('resources')).toEqual([]);
    } finally {
      await old.stop();
    }
  });

  it('prints the rule for the settings of the server', async () => {
    const { code, lines } = await run(['--set', 'full', '--topic', 'a/#', '--name', 'north'], {
      ...key,
      PORT: '9000',
      HOST: '::1',
      INGEST_TOKEN: TOKEN,
    });
    expect(code).toBe(0);
    expect(JSON.parse(lines.join('\n'))).toMatchObject({
      connectors: { http: { north_store: { url: 'http://[::1]:9000', headers: { authorization: `Bearer ${TOKEN}` } } } },
      actions: { http: { north_full: { connector: 'north_store' } } },
      rule_engine: { rules: { north_full: { actions: ['http:north_full'], sql: expect.stringContaining('"a/#"') as unknown } } },
    });
  });

  it('is printed by the server with its own address', () => {
    const { policies } = loadConfig({});
    expect(installCommand({ host: '127.0.0.1', port: 9000, tls: null, policies })).toBe(
      'node dist/main.js rules --install --url http://127.0.0.1:9000',
    );
    expect(installCommand({ host: '0.0.0.0', port: 9000, tls: { cert: '', key: '' } as never, policies })).toMatch(
      /--url https:\/\/ADDRESS-OF-THIS-SERVER:9000$/,
    );
  });

  it('is printed by the server with the topics that its policies store', () => {
    const commandFor = (policies: object[]) => installCommand(loadConfig({ POLICIES: JSON.stringify(policies) }));
    const beginning = 'node dist/main.js rules --install --url http://127.0.0.1:8480';
    expect(commandFor([{ filter: 't/#' }])).toBe(beginning);
    expect(commandFor([{ filter: "it's/#" }, { filter: 'shop/1' }])).toBe(`${beginning} --topic 'it'\\''s/#' --topic shop/1`);
    expect(commandFor([{ filter: 'noise/#', mode: 'off' }, { filter: 'a/+' }, { filter: '#' }])).toBe(
      `${beginning} --topic a/+ --topic 't/#'`,
    );
    expect(commandFor([{ filter: 'last/#', mode: 'off', retain: 'store' }])).toBe(`${beginning} --topic 'last/#'`);
  });

  it('is printed as it can be called from the present directory, without npm', () => {
    const root = join(__dirname, '../..');
    expect(programCommand(root)).toBe('node dist/main.js');
    expect(programCommand(join(root, '..'))).toBe(`node ${join(basename(root), 'dist/main.js')}`);
    expect(programCommand(join(root, 'docs'))).toBe(`node ${join(root, 'dist/main.js')}`);
  });

  describe('as a process', () => {
    const directory = temporaryDirectory();
    afterAll(() => directory.remove());
    const cli = async (environment: Record<string, string>, ...args: string[]) => {
      const process = await ServerProcess.run(environment, 'rules', ...args);
      return { code: await process.exitCode, lines: process.output.trim().split('\n') };
    };

    it('installs twice for a running server, detects a wrong token, and removes', async () => {
      const settings = { ...key, DATA_DIR: directory.path, INGEST_TOKEN: TOKEN };
      const server = await ServerProcess.serve(settings);
      try {
        // The server prints the command that fits it.
        const [, command = ''] = /node dist\/main\.js rules (--install --url \S+)/.exec(server.output) ?? [];
        expect(command).toBe(`--install --url ${server.url}`);
        const first = await cli(settings, ...command.split(' '), '--yes');
        expect(first.lines).toEqual(
          expect.arrayContaining([
            'added: connector http:offline_store',
            'added: action http:offline_messages',
            'added: rule offline_messages',
            `connected: EMQX reaches the server at ${server.url}`,
            'first event: EMQX sent a test event through the rule, and the server accepted it',
          ]),
        );
        expect(first.code).toBe(0);
        expect(first.lines.join()).not.toContain(TOKEN);
        const before = JSON.stringify(emqx.rest.installed);
        const second = await cli(settings, ...command.split(' '));
        expect(second.lines[0]).toMatch(/^nothing to change: /);
        expect(second.code).toBe(0);
        expect(JSON.stringify(emqx.rest.installed)).toBe(before);

        const wrong = await cli({ ...settings, INGEST_TOKEN: 'not-that-of-the-server' }, ...command.split(' '), '--yes');
        expect(wrong.lines).toContain('    headers.authorization: (another token) → Bearer (INGEST_TOKEN)');
        expect(wrong.lines).toContain('first event: EMQX sent a test event through the rule, and the server did not accept it');
        expect(wrong.code).toBe(1);

        const refused = await cli(settings, '--remove');
        expect(refused.code).toBe(78);
        expect((await cli(settings, '--remove', '--yes')).code).toBe(0);
        expect(named()).toEqual([]);
        expect((await cli({ ...settings, EMQX_API_KEY: 'wrong' }, '--remove', '--yes')).code).toBe(1);
      } finally {
        await server.end('SIGKILL');
      }
      // Seven starts of a process.
    }, 180_000);
  });
});
