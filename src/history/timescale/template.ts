import { compileExpression, type Expression } from '../expression';
import { rows, type Source, type Value } from '../points';
import { checkKeys, parseTemplates, type JsonObject, type Templates } from '../template';

/** An operator's statement, and the values of its $1, $2, ... */
export interface Statement {
  readonly name: string;
  readonly sql: string;
  readonly params: readonly Expression[];
}

/** One run of a statement. */
export interface Execution {
  readonly statement: Statement;
  readonly values: readonly Value[];
}

/** @throws RangeError that names the filter and the key */
export function parseStatements(text: string): Templates<Statement> {
  const templates = parseTemplates(text, compileStatement);
  // The names identify which messages a statement has stored already.
  const names = templates.all().map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) throw new RangeError(`name: "${twice}" is there twice`);
  return templates;
}

function compileStatement(template: JsonObject): Statement {
  checkKeys(template, ['name', 'sql', 'param_keys'], []);
  const { name, sql, param_keys: keys } = template;
  if (typeof name !== 'string' || name === '') throw new RangeError('name: must be a text');
  if (typeof sql !== 'string' || sql.trim() === '') throw new RangeError('sql: must be a text');
  if (!Array.isArray(keys)) throw new RangeError('param_keys: must be a list');
  return { name, sql, params: keys.map((key: unknown, i) => compileExpression(key, `param_keys[${i}]`)) };
}

/**
 * The runs of a statement. Missing values are null. A run in which all values of the payload are missing is left out.
 */
export function* executionsOf(source: Source, statement: Statement): Generator<Execution> {
  const ofPayload = statement.params.flatMap(({ kind }, i) => (kind === 'path' ? [i] : []));
  for (const values of rows(source, statement.params)) {
    if (ofPayload.length === 0 || ofPayload.some((i) => values[i] !== null)) yield { statement, values };
  }
}

export function sizeOf({ values }: Execution): number {
  return values.reduce((sum: number, value) => sum + (typeof value === 'string' || Buffer.isBuffer(value) ? value.length : 8), 0);
}
