import { NAMED_CHECKS } from './named-checks';
import { commandsOf, type Command } from './shell';

const wordsOf = (block: string) => commandsOf(block).map(({ words }) => words);

/** What the check of a command finds; null: nothing. */
function flawOf(text: string): string | null {
  const [command] = commandsOf(text) as [Command];
  try {
    NAMED_CHECKS.find(({ fits }) => fits(command))?.check(command);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

it('splits a block into commands as a shell does', () => {
  expect(wordsOf(`export A=1 B='x y'\nnpm ci && npm start   # comment`)).toEqual([[], ['npm', 'ci'], ['npm', 'start']]);
  expect(commandsOf(`A=1 URL='redis://u:p@h/1?a=b' \\\n  node x.js --topic 't/#'`)).toMatchObject([
    { env: { A: '1', URL: 'redis://u:p@h/1?a=b' }, words: ['node', 'x.js', '--topic', 't/#'] },
  ]);
  expect(wordsOf(`curl http://h/<id>/x > file.json\ncurl -s http://h | grep -E 'a|b'; echo "#1"`)).toEqual([
    ['curl', 'http://h/id/x'],
    ['curl', '-s', 'http://h'],
    ['grep', '-E', 'a|b'],
    ['echo', '#1'],
  ]);
});

it.each([
  ['PORT=99999 npm start', /^PORT/],
  ['STORE_URL=oracle://x npm start', /^STORE_URL/],
  ['npm run absent', /no script absent/],
  ['npm run chaos -- --shorter', /does not know --shorter/],
  ['node dist/main.js rules --instal', /no option --instal/],
  ['node dist/main.js fly', /no command fly/],
  ['node dist/main.js migrate --dry-runs', /no option --dry-runs/],
  ['curl http://127.0.0.1:8480/v1/nothing', /has no GET \/v1\/nothing/],
  ['curl -X PUT http://127.0.0.1:8480/v1/messages', /has no PUT/],
  ["curl 'http://127.0.0.1:8480/v1/messages?topics=t'", /no parameter topics/],
  [`curl http://127.0.0.1:8480/v1/deliveries -d '{"clientid":"a"}'`, /topic is missing/],
  ['npx jest test/absent', /test\/absent does not exist/],
  ["redis-cli zcard 'mqtt:msg-absent:t/1'", /msg-absent is not in/],
  ['docker build -f docker/Absent .', /docker\/Absent does not exist/],
])('what is wrong with a command is found: %s', (text, flaw) => {
  expect(flawOf(text)).toMatch(flaw);
});
