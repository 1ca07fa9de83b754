import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(__dirname, '../..');
const ROWS = readFileSync(join(ROOT, 'docs/promises.md'), 'utf8')
  .split('\n')
  .flatMap((line) => /^\| (\d+) \|.*\| (.*) \|$/.exec(line)?.slice(1) ?? [])
  .reduce<[string, string][]>((rows, text, i, all) => (i % 2 === 1 ? [...rows, [all[i - 1] ?? '', text]] : rows), []);

test('the page has all promises', () => {
  expect(ROWS.map(([number]) => Number(number))).toEqual(Array.from({ length: 24 }, (_, i) => i + 1));
});

test.each(ROWS)('promise %s names tests that exist', (_number, tests) => {
  const files = tests.split('; ');
  expect(files.length).toBeGreaterThan(0);
  for (const each of files) {
    const [file = '', ...others] = each.match(/test\/[\w/.-]+\.ts/g) ?? [];
    for (const path of [file, ...others]) expect([path, existsSync(join(ROOT, path))]).toEqual([path, true]);
    const text = readFileSync(join(ROOT, file), 'utf8');
    for (const [, title] of each.matchAll(/"([^"]+)"/g)) expect([file, title, text.includes(title ?? '')]).toEqual([file, title, true]);
  }
});
