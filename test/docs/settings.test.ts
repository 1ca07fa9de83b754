import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkSettings, SETTING_KEYS } from '../../src/config/schema';
import { ROOT } from './markdown';

/** The rows of a table of README.md: the names of the first column, each with the text of the second one. */
function rowsOf(heading: string): Map<string, string> {
  const section = readFileSync(join(ROOT, 'README.md'), 'utf8').split(`${heading}\n`)[1]?.split(/^#/m)[0] ?? '';
  const rows = [...section.matchAll(/^\| (`[^|]*) \| ([^|]*) \|/gm)];
  return new Map(
    rows.flatMap(([, keys = '', defaults = '']) => {
      const [names, values] = [keys, defaults].map((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text)) as [
        string[],
        string[],
      ];
      return names.map((name, i) => [name, values[i] ?? defaults] as const);
    }),
  );
}

const defaults: Record<string, unknown> = {};
checkSettings(defaults);
const policy = (defaults['POLICIES'] as Record<string, unknown>[])[0] ?? {};

it('README.md has each setting', () => {
  const keys = SETTING_KEYS.filter((key) => !key.startsWith('STORE_SQL_'));
  expect([...rowsOf('## Settings').keys()].sort()).toEqual([...keys, 'STORE_SQL_*'].sort());
});

it('README.md has the default of each setting that has one', () => {
  const rows = rowsOf('## Settings');
  for (const [key, value] of Object.entries(defaults)) {
    if (key === 'POLICIES' || key === 'HISTORY_URLS') continue;
    expect([key, rows.get(key)]).toEqual([key, String(value)]);
  }
});

it('README.md has each key of a policy with its default', () => {
  const rows = rowsOf('### Policies');
  expect([...rows.keys()].sort()).toEqual(Object.keys(policy).sort());
  for (const [key, value] of Object.entries(policy)) {
    if (key === 'filter') continue;
    const text = typeof value === 'string' ? value : JSON.stringify(value).replaceAll(':', ': ').replaceAll(',', ', ');
    expect([key, rows.get(key)]).toEqual([key, text]);
  }
});
