import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  createSourceFile,
  forEachChild,
  isCallExpression,
  isNoSubstitutionTemplateLiteral,
  isPropertyAccessExpression,
  isStringLiteral,
  isTemplateExpression,
  ScriptTarget,
  type Expression,
  type Node,
} from 'typescript';
import { LOG_FORMATS, LOG_LEVELS } from '../../src/base/log';

const SOURCES = join(__dirname, '../../src');
const PAGE = readFileSync(join(__dirname, '../../docs/logging.md'), 'utf8');
const LEVELS = ['warn', 'error', 'fatal'];

/** The text with `{...}` for what is put in. */
function textOf(message: Expression | undefined): string | null {
  if (message === undefined) return null;
  if (isStringLiteral(message) || isNoSubstitutionTemplateLiteral(message)) return message.text;
  if (isTemplateExpression(message)) return message.head.text + message.templateSpans.map(({ literal }) => `{...}${literal.text}`).join('');
  return null;
}

/** `level message` of each log call of the sources at warn and above. */
function messagesOf(path: string): string[] {
  const source = createSourceFile(path, readFileSync(path, 'utf8'), ScriptTarget.Latest, true);
  const found: string[] = [];
  const visit = (node: Node): void => {
    forEachChild(node, visit);
    if (!isCallExpression(node) || !isPropertyAccessExpression(node.expression)) return;
    const { name, expression } = node.expression;
    if (!LEVELS.includes(name.text) || !/(^|\.)log$/.test(expression.getText())) return;
    const message = textOf(node.arguments.at(-1));
    if (message === null) throw new Error(`${path}: the message of ${node.getText()} must be written where it is logged`);
    found.push(`${name.text} ${message}`);
  };
  visit(source);
  return found;
}

const logged = [
  ...new Set(
    readdirSync(SOURCES, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts'))
      .flatMap((path) => messagesOf(join(SOURCES, path))),
  ),
].sort();

/** The rows of the tables of lines: level, message, meaning, what to do. */
const rows = PAGE.split('\n').flatMap((line) => {
  const [, level = '', message = '', meaning = '', remedy = ''] =
    /^\| (warn|error|fatal) \| `(.+?)` \| (.+?) \| (.+?) \|$/.exec(line) ?? [];
  return level === '' ? [] : [{ level, message, meaning, remedy }];
});

/** `{setting}` in the page, `{...}` here. */
const documented = rows.map(({ level, message }) => `${level} ${message.replace(/\{[^}]+\}/g, '{...}')}`).sort();

it('docs/logging.md has every line at warn and above that the sources can log, and no other', () => {
  expect(logged.length).toBeGreaterThan(20);
  expect(documented).toEqual(logged);
});

it('docs/logging.md has each level and each format', () => {
  for (const value of [...LOG_LEVELS, ...LOG_FORMATS]) expect(PAGE).toContain(`\`${value}\``);
});
