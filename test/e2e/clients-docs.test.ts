import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryDirectory } from '../support/temp';
import { waitFor } from '../support/wait';
import { World } from './world';

const PAGE = readFileSync(join(__dirname, '../../docs/clients.md'), 'utf8');

/** The page's requests to the server, each with the answer that is printed below it. */
const EXAMPLES = [...PAGE.matchAll(/```sh\n(curl (?:(?!```).)*?127\.0\.0\.1:8480.*?)```(?:\n\n```json\n(.*?)```)?/gs)].map(
  ([, command = '', answer]) => ({
    command: command.replace(/\\\n\s*/g, ''),
    answer: answer === undefined ? null : (JSON.parse(answer) as unknown),
  }),
);

/** A curl command of the page, as a shell reads it. */
function requestOf(command: string): { url: string; init: RequestInit } {
  const words = [...command.trim().matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');
  const valueOf = (option: string) => (words.includes(option) ? words[words.indexOf(option) + 1] : undefined);
  const [name = '', value = ''] = (valueOf('-H') ?? '').split(': ');
  const [body, method = 'GET'] = [valueOf('-d'), valueOf('-X')];
  return {
    url: words.find((word) => word.startsWith('http')) ?? '',
    init: { method, ...(name !== '' && { headers: { [name]: value } }), ...(body !== undefined && { body }) },
  };
}

/** Times differ from run to run. */
/** On a busy machine the delivery's later look may be over: its sentence is left out. */
const timeless = (value: unknown) =>
  JSON.parse(
    JSON.stringify(value)
      .replace(/\b\d{13}\b/g, '0')
      .replace(/(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d UTC/g, 'TIME')
      .replace(/\{"level":"ok","text":"The server has read everything[^"]*"\},/g, ''),
  ) as unknown;

it('the server answers the examples in docs/clients.md as printed and acts on them', async () => {
  const directory = temporaryDirectory();
  const world = await World.start({ rules: ['offline-messages', 'client-state'], env: { DATA_DIR: directory.path } });
  try {
    expect(PAGE).toContain('rules --install --set client-state');
    const subscriber = await world.subscriber('device-1');
    await subscriber.subscribe('t/1');
    await world.quiet();
    const inBroker = () => [...(world.emqx.broker.sessions.get('device-1')?.subscriptions ?? [])].sort();
    const results: unknown[] = [];
    for (const { command, answer } of EXAMPLES) {
      const { url, init } = requestOf(command);
      const response = await fetch(url.replace('http://127.0.0.1:8480', world.server.url), init);
      expect([command, response.ok]).toEqual([command, true]);
      if (answer !== null) expect(timeless(await response.json())).toEqual(timeless(answer));
      await world.quiet();
      // EMQX's events about it come back.
      await waitFor('the events', () => world.emqx.actions.every(({ pending }) => pending === 0));
      results.push(inBroker());
    }
    const [jobs, alerts] = [
      ['$share/workers/jobs/+', 2],
      ['alerts/#', 1],
    ];
    expect(results).toEqual([[['t/1', 1]], [['t/1', 1]], [jobs, alerts], [jobs], []]);
  } finally {
    await world.stop();
    directory.remove();
  }
}, 60_000);
