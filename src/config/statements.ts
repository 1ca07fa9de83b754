import { SettingError } from '../base/errors';

export type Value = string | number | Buffer | null;

/**
 * The built-in statements that the settings STORE_SQL_* replace. They are named as in EMQX's offline message plugin.
 */
export type StatementName = keyof typeof VARIABLES;

export type Statements = Readonly<Partial<Record<StatementName, Statement>>>;

const MESSAGE = ['id', 'topic', 'from', 'clientid', 'username', 'qos', 'payload', 'retain', 'flags.retain', 'timestamp'];

/** The variables that a statement may use as ${...}. It must use the first ones, as many as `required` says. */
const VARIABLES = {
  INSERT_MESSAGE: { names: MESSAGE, required: 2 },
  DELETE_MESSAGE: { names: ['id', 'topic'], required: 1 },
  SELECT_MESSAGE: { names: ['topic'], required: 1 },
  INSERT_SUBSCRIPTION: { names: ['clientid', 'topic', 'qos'], required: 2 },
  SELECT_SUBSCRIPTIONS: { names: ['clientid'], required: 1 },
  DELETE_SUBSCRIPTION: { names: ['clientid', 'topic'], required: 2 },
} as const;

export const STATEMENT_NAMES = Object.keys(VARIABLES) as StatementName[];

export const settingOf = (name: StatementName): string => `STORE_SQL_${name}`;

/**
 * An SQL statement with `?` for each value. A question mark that stands for no value is written `\?`, as knex requires.
 */
export class Statement {
  constructor(
    readonly name: StatementName,
    readonly sql: string,
    private readonly variables: readonly string[],
  ) {}

  bind(values: Readonly<Record<string, Value>>): Value[] {
    return this.variables.map((variable) => values[variable] ?? null);
  }
}

/** @throws SettingError */
export function parseStatement(name: StatementName, text: string): Statement {
  const problem = (reason: string) => new SettingError(settingOf(name), reason);
  const { names, required } = VARIABLES[name];
  const known: readonly string[] = names;
  const used: string[] = [];
  const parts = textParts(text.trim().replace(/;\s*$/, ''));
  const sql = parts.map(({ quoted, part }) => {
    if (quoted && part.includes('${'))
      throw problem(`\${...} must not be inside quotes, because its value is a bound parameter: remove the quotes (${part})`);
    if (!quoted && part.includes(';')) throw problem('must be a single statement: remove the semicolon');
    return part.replace(/\?/g, '\\?').replace(/\$\{\s*([^}]*?)\s*\}/g, (_, variable: string) => {
      if (!known.includes(variable))
        throw problem(`unknown variable \${${variable}}; known are ${known.map((each) => `\${${each}}`).join(', ')}`);
      used.push(variable);
      return '?';
    });
  });
  const missing = known.slice(0, required).find((variable) => !used.includes(variable));
  if (missing !== undefined) throw problem(`must use \${${missing}}`);
  return new Statement(name, sql.join(''), used);
}

/** Splits SQL into quoted parts (strings, quoted names and comments) and the parts between them. */
function textParts(text: string): { quoted: boolean; part: string }[] {
  const quoted = /'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|--[^\n]*|\/\*[\s\S]*?\*\//g;
  const parts: { quoted: boolean; part: string }[] = [];
  let end = 0;
  for (const match of text.matchAll(quoted)) {
    parts.push({ quoted: false, part: text.slice(end, match.index) }, { quoted: true, part: match[0] });
    end = match.index + match[0].length;
  }
  return [...parts, { quoted: false, part: text.slice(end) }];
}
