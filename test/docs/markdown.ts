import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const ROOT = join(__dirname, '../..');

export interface Line {
  /** From 1. */
  readonly number: number;
  readonly text: string;
}

/** A fenced block, without the indentation of its fence. */
export interface Block {
  readonly page: string;
  /** The number of the line with the opening fence. */
  readonly line: number;
  /** What stands behind the fence: `sh`, `json`, ... */
  readonly language: string;
  readonly text: string;
}

export interface Page {
  /** From the root of the repository. */
  readonly path: string;
  readonly blocks: readonly Block[];
  /** Everything outside of fenced blocks. */
  readonly prose: readonly Line[];
  /** The anchors of the headings, as GitHub makes them. */
  readonly anchors: ReadonlySet<string>;
}

/** README.md, SECURITY.md and everything in docs/. */
export function readPages(): Page[] {
  const inDocs = readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' });
  const paths = ['README.md', 'SECURITY.md', ...inDocs.filter((path) => path.endsWith('.md')).map((path) => `docs/${path}`)];
  return paths.sort().map((path) => parsePage(path, readFileSync(join(ROOT, path), 'utf8')));
}

export function parsePage(path: string, markdown: string): Page {
  const [blocks, prose]: [Block[], Line[]] = [[], []];
  let open: { line: number; indent: number; language: string; lines: string[] } | null = null;
  for (const [i, text] of markdown.split('\n').entries()) {
    const fence = /^( *)```(.*)$/.exec(text);
    if (open !== null && fence !== null) {
      blocks.push({ page: path, line: open.line, language: open.language, text: open.lines.join('\n') });
      open = null;
    } else if (open !== null) {
      open.lines.push(text.slice(open.indent));
    } else if (fence !== null) {
      open = { line: i + 1, indent: fence[1]?.length ?? 0, language: (fence[2] ?? '').trim(), lines: [] };
    } else {
      prose.push({ number: i + 1, text });
    }
  }
  if (open !== null) throw new Error(`${path}:${open.line}: a block without an end`);
  return { path, blocks, prose, anchors: anchorsOf(prose) };
}

function anchorsOf(prose: readonly Line[]): Set<string> {
  const anchors = new Set<string>();
  for (const { text } of prose) {
    const title = /^#{1,6} (.*)$/.exec(text)?.[1];
    if (title === undefined) continue;
    const plain = title.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
    const anchor = plain.replace(/[^\p{L}\p{N}_\- ]/gu, '').replaceAll(' ', '-');
    let [unique, n] = [anchor, 0];
    while (anchors.has(unique)) unique = `${anchor}-${(n += 1)}`;
    anchors.add(unique);
  }
  return anchors;
}
