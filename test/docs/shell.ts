/** A command of a block: `A=1 node x.js --flag 'a b'` has one assignment and three words. */
export interface Command {
  readonly env: Readonly<Record<string, string>>;
  readonly words: readonly string[];
  /** As it is written. */
  readonly text: string;
}

/**
 * The commands of a block, for looking at: a real shell runs them. Quotes, comments, `\` at the end of a line, `&&`, `|`, `;` and redirections to files
 * are understood; `$(...)` stays as it is. `<name>`, which stands for something that the reader fills in, becomes `name`.
 */
export function commandsOf(block: string): Command[] {
  const commands: Command[] = [];
  let [words, word, text]: [string[], string | null, string] = [[], null, ''];
  const endWord = () => {
    if (word !== null) words.push(word);
    word = null;
  };
  const endCommand = () => {
    endWord();
    if (words.length > 0) commands.push(commandOf(words, text.trim()));
    [words, text] = [[], ''];
  };
  for (const [token] of fillIn(block).matchAll(TOKEN)) {
    if (token.startsWith('#') && word === null) continue;
    if (/^(\n|&&|\|\|?|;)$/.test(token)) {
      endCommand();
      continue;
    }
    text += token;
    if (/^\s+$/.test(token) || token === '\\\n') endWord();
    else if (/^\d?>/.test(token) && word === null) continue;
    else word = (word ?? '') + (/^['"]/.test(token) ? token.slice(1, -1) : token);
  }
  endCommand();
  return commands;
}

/** Quoted text, `$(...)`, the end of a line, separators, redirections with their file, comments, blanks, and what is left. */
const TOKEN = /'[^']*'|"[^"]*"|\$\([^)]*\)|\\\n|\n|&&|\|\|?|;|\d?>{1,2}\s*[^\s;|&]+|#[^\n]*|[^\S\n]+|\\.|[^\s'"$;|&>#\\]+|./g;

/** `<token>` becomes `token`, `<another one>` becomes `another-one`: what a reader fills in. */
export function fillIn(block: string): string {
  return block.replace(/<([A-Za-z](?:[^<>\n]*[^<>\s])?)>/g, (_all, name: string) => name.replace(/\W+/g, '-'));
}

function commandOf(all: readonly string[], text: string): Command {
  const isAssignment = (word: string) => /^[A-Z][A-Z0-9_]*=/.test(word);
  const first = ['export', 'do', 'then'].includes(all[0] ?? '') ? 1 : 0;
  const end = all.findIndex((word, i) => i >= first && !isAssignment(word));
  const assigned = all.slice(first, end === -1 ? all.length : end);
  const env = Object.fromEntries(assigned.map((word) => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]));
  return { env, words: end === -1 ? [] : all.slice(end), text };
}
