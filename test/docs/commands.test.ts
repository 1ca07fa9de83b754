import { waitFor } from '../support/wait';
import { readPages, type Block } from './markdown';
import { NAMED_CHECKS } from './named-checks';
import { Session, type Result } from './session';
import { commandsOf, type Command } from './shell';

const SHELL = ['sh', 'bash', 'shell', 'console'];
const blocks = readPages().flatMap((page) => page.blocks.filter(({ language }) => SHELL.includes(language)));
const nameOf = ({ page, line }: Block) => `${page}:${line}`;

/** The blocks that a reader of README.md runs first, one after the other. */
const start =
  readPages()
    .find(({ path }) => path === 'README.md')
    ?.blocks.filter(({ language }) => language === 'sh')
    .slice(0, 4) ?? [];

/** Settings that name the reader's own databases, EMQX and files: such a command is looked at and not run. The two keys may stand there. */
const changesSettings = ({ env }: Command) =>
  Object.keys(env).some((key) => !['EMQX_API_KEY', 'EMQX_API_SECRET', 'DATA_DIR'].includes(key));

/** Against the server of the session: requests to it, and commands of the program that change no rule in EMQX. */
function canRun(command: Command): boolean {
  const [program, ...args] = command.words;
  if (changesSettings(command)) return false;
  if (program === 'curl') return /http:\/\/127\.0\.0\.1:8480\//.test(command.text) && !/\/id\b|\$ADMIN_TOKEN/.test(command.text);
  if (program === 'node') return args[0] === 'dist/main.js' && ['doctor', 'backup'].includes(args[1] ?? '');
  return program === 'mqttx' || program === 'grep';
}

const checkOf = (command: Command) => NAMED_CHECKS.find(({ fits }) => fits(command));

type Kind = 'start' | 'run' | 'checked' | 'unknown';

/** Each block is of one kind: all of its commands are run, or each of them has a check. */
function kindOf(block: Block): Kind {
  const commands = commandsOf(block.text);
  if (start.some(({ page, line }) => page === block.page && line === block.line)) return 'start';
  if (commands.every(canRun)) return 'run';
  return commands.every((command) => checkOf(command) !== undefined) ? 'checked' : 'unknown';
}

const ofKind = (kind: Kind) => blocks.filter((block) => kindOf(block) === kind);

test('every command is one that is run, or one that has a check', () => {
  const unknown = ofKind('unknown').map((block) => {
    const commands = commandsOf(block.text).filter((command) => checkOf(command) === undefined && !canRun(command));
    return `${nameOf(block)}: ${commands.map(({ text }) => text).join(' | ')}`;
  });
  expect(unknown).toEqual([]);
  expect(start).toHaveLength(4);
  expect(ofKind('run').length).toBeGreaterThan(15);
});

test.each(ofKind('checked').map((block) => [nameOf(block), block] as const))('what %s names exists', (_name, block) => {
  const commands = commandsOf(block.text);
  // Lines that only assign are looked at together: the two parts of a key need each other.
  const assigned = commands.filter(({ words }) => words.length === 0).map(({ env }) => env);
  const settings: Command[] = assigned.length === 0 ? [] : [{ env: Object.assign({}, ...assigned) as Command['env'], words: [], text: '' }];
  for (const command of [...settings, ...commands.filter(({ words }) => words.length > 0)]) checkOf(command)?.check(command);
});

describe('in one session, as a reader runs them', () => {
  let session: Session;
  const done = new Map<string, Result>();

  /** A block that stands on several pages is run once. */
  const run = async (block: Block): Promise<Result> => {
    const result = done.get(block.text) ?? (await session.run(block.text));
    done.set(block.text, result);
    return result;
  };

  beforeAll(async () => {
    session = await Session.start();
  });
  afterAll(() => session.stop());

  test('README.md: from nothing to a delivered message', async () => {
    const [serve, install, publish, subscribe] = start as [Block, Block, Block, Block];
    await session.serve(serve.text);

    const installed = await session.run(install.text);
    expect(installed).toMatchObject({ code: 0 });
    expect(installed.output).toMatch(/first event: .*accepted/);

    expect(await session.run(publish.text)).toMatchObject({ code: 0 });
    const [, look = ''] = publish.text.split('\n');
    await waitFor('the message in the store', async () => (await session.run(look)).output.includes('"text":"hello"'));

    const received = await session.run(subscribe.text);
    expect(received).toMatchObject({ code: 0 });
    expect(received.output).toContain('t/1: hello');
    await waitFor('the message to be removed', async () => (await session.run(look)).output.includes('{"messages":[],"next":null}'));
  });

  /** A page may have ended the client's subscriptions: then the server knows nothing about it. */
  const knowDevice = async () => {
    await session.run(
      `curl -X PUT http://127.0.0.1:8480/v1/clients/device-1/subscriptions -H 'Content-Type: application/json' -d '{"subscriptions":[{"topic":"t/1","qos":1}]}'`,
    );
    await waitFor('device-1 to be known', async () => (await session.run('curl http://127.0.0.1:8480/v1/clients/device-1')).code === 0);
  };

  test.each(ofKind('run').map((block) => [nameOf(block), block] as const))('%s', async (_name, block) => {
    if (block.text.includes('clients/device-1')) await knowDevice();
    const { code, output } = await run(block);
    expect([code, output]).toEqual([0, output]);
    expect(output).toMatch(block.text.startsWith('mqttx sub') ? 'hello' : /./);
  });
});
