import { existsSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { parsePage, readPages, ROOT, type Page } from './markdown';

const MAX_LENGTH = 120;

const pages = new Map(readPages().map((page) => [page.path, page]));

interface Link {
  readonly line: number;
  readonly target: string;
}

/** Links of the prose to files and headings; those to other sites are left out. */
function linksOf({ prose }: Page): Link[] {
  return prose.flatMap(({ number, text }) => {
    const targets = [...text.replace(/`[^`]*`/g, '').matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
    return targets.filter((target) => !/^[a-z]+:/.test(target)).map((target) => ({ line: number, target }));
  });
}

/** Why a link leads nowhere; null: it is right. */
function flawOf(page: Page, { target }: Link): string | null {
  const [path = '', anchor] = target.split('#');
  const file = path === '' ? page.path : normalize(join(dirname(page.path), path));
  if (path !== '' && !existsSync(join(ROOT, file))) return `${file} does not exist`;
  if (anchor === undefined) return null;
  const other = file === page.path ? page : pages.get(file);
  return other?.anchors.has(anchor) === true ? null : `${file} has no heading #${anchor}`;
}

describe.each([...pages.values()].map((page) => [page.path, page] as const))('%s', (path, page) => {
  it('has links to files and headings that exist', () => {
    const flaws = linksOf(page).flatMap((link) => {
      const flaw = flawOf(page, link);
      return flaw === null ? [] : [`${path}:${link.line}: ${flaw}`];
    });
    expect(flaws).toEqual([]);
  });

  it(`has lines under ${MAX_LENGTH} characters, but for tables and code`, () => {
    const long = page.prose.filter(({ text }) => text.length >= MAX_LENGTH && !/^ *\|/.test(text));
    expect(long.map(({ number }) => `${path}:${number}`)).toEqual([]);
  });
});

it('finds a link without a file, and one without a heading', () => {
  const page = parsePage(
    'docs/x.md',
    '# A title, `code`\n[a](absent.md) [b](#a-title-code) [c](#no) [d](../README.md#no) [e](https://x.example)',
  );
  expect(linksOf(page).map((link) => flawOf(page, link))).toEqual([
    'docs/absent.md does not exist',
    null,
    'docs/x.md has no heading #no',
    'README.md has no heading #no',
  ]);
});

it('is the way to every page: docs/README.md links to each one', () => {
  const index = pages.get('docs/README.md');
  const linked = index === undefined ? [] : linksOf(index).map(({ target }) => normalize(join('docs', target.replace(/#.*/, ''))));
  const lists = ['docs/databases/', 'docs/decisions/'];
  const missing = [...pages.keys()].filter((path) => path.startsWith('docs/') && path !== 'docs/README.md' && !linked.includes(path));
  expect(missing.filter((path) => !lists.some((folder) => path.startsWith(folder)))).toEqual([]);
});
