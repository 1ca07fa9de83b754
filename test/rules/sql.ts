/**
 * As much of EMQX's rule SQL as our rules use, evaluated the way emqx_rule_runtime.erl does: absent columns are `undefined`, equal to
 * nothing else; `and` binds before `or` (our rules say it with parentheses); CASE without ELSE yields undefined. Anything else throws.
 */
export interface Select {
  readonly columns: readonly Column[];
  readonly sources: readonly string[];
  matches(event: Columns): boolean;
}

export interface Column {
  readonly name: string;
  valueIn(event: Columns): unknown;
}

export type Columns = Readonly<Record<string, unknown>>;
type Expression = (event: Columns) => unknown;

interface Token {
  readonly kind: 'string' | 'name' | 'word' | 'sign';
  readonly text: string;
}

export function parseSelect(sql: string): Select {
  return new Parser(tokensOf(sql)).select();
}

function tokensOf(sql: string): Token[] {
  const tokens: Token[] = [];
  const pattern = /\s+|'([^']*)'|"([^"]*)"|([A-Za-z][A-Za-z0-9_]*)|(=~|<>|=|[(),.])/gy;
  while (pattern.lastIndex < sql.length) {
    const at = pattern.lastIndex;
    const match = pattern.exec(sql);
    if (match === null) throw new Error(`not in the subset: ${sql.slice(at, at + 30)}`);
    const [, string, name, word, sign] = match;
    if (string !== undefined) tokens.push({ kind: 'string', text: string });
    else if (name !== undefined) tokens.push({ kind: 'name', text: name });
    else if (word !== undefined) tokens.push({ kind: 'word', text: word });
    else if (sign !== undefined) tokens.push({ kind: 'sign', text: sign });
  }
  return tokens;
}

class Parser {
  private at = 0;

  constructor(private readonly tokens: readonly Token[]) {}

  select(): Select {
    this.keyword('SELECT');
    const columns = this.list(() => this.column());
    this.keyword('FROM');
    const sources = this.list(() => this.take('name').text);
    const where = this.taken('WHERE') ? this.either() : () => true;
    if (this.at < this.tokens.length) throw new Error(`not in the subset: ${this.peek()?.text}`);
    return { columns, sources, matches: (event) => where(event) === true };
  }

  private column(): Column {
    const first = this.peek();
    const valueIn = this.operand();
    const name = this.taken('AS') ? this.take('word').text : (first?.text ?? '');
    return { name, valueIn };
  }

  private either(): Expression {
    const parts = [this.both()];
    while (this.taken('OR')) parts.push(this.both());
    return (event) => parts.some((part) => part(event) === true);
  }

  private both(): Expression {
    const parts = [this.condition()];
    while (this.taken('AND')) parts.push(this.condition());
    return (event) => parts.every((part) => part(event) === true);
  }

  private condition(): Expression {
    if (this.takenSign('(')) {
      const inner = this.either();
      this.sign(')');
      return inner;
    }
    const left = this.operand();
    if (this.takenSign('=')) {
      const right = this.operand();
      return (event) => left(event) === right(event);
    }
    if (this.takenSign('<>')) {
      const right = this.operand();
      return (event) => left(event) !== right(event);
    }
    if (this.takenSign('=~')) {
      const right = this.operand();
      return (event) => matchesFilter(left(event), right(event));
    }
    return left;
  }

  private operand(): Expression {
    const token = this.tokens[this.at++];
    if (token?.kind === 'string') return () => token.text;
    if (token?.kind !== 'word') throw new Error(`not in the subset: ${token?.text}`);
    if (token.text === 'CASE') return this.caseWhen();
    return this.takenSign('(') ? this.call(token.text) : this.path(token.text);
  }

  private caseWhen(): Expression {
    this.keyword('WHEN');
    const when = this.both();
    this.keyword('THEN');
    const then = this.operand();
    this.keyword('END');
    return (event) => (when(event) === true ? then(event) : undefined);
  }

  private call(name: string): Expression {
    const argument = this.operand();
    this.sign(')');
    if (name === 'is_null') return (event) => argument(event) === undefined;
    if (name === 'is_not_null') return (event) => argument(event) !== undefined;
    if (name !== 'base64_encode') throw new Error(`not in the subset: ${name}`);
    return (event) => {
      const value = argument(event);
      if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
      if (typeof value !== 'string') throw new Error('base64_encode of undefined: EMQX drops the whole event');
      return Buffer.from(value).toString('base64');
    };
  }

  private path(first: string): Expression {
    const keys = [first];
    while (this.takenSign('.')) keys.push(this.take('string').text);
    return (event) => keys.reduce<unknown>((value, key) => (isRecord(value) && Object.hasOwn(value, key) ? value[key] : undefined), event);
  }

  private list<T>(item: () => T): T[] {
    const items = [item()];
    while (this.takenSign(',')) items.push(item());
    return items;
  }

  private peek(): Token | undefined {
    return this.tokens[this.at];
  }

  private take(kind: Token['kind']): Token {
    const token = this.tokens[this.at++];
    if (token?.kind !== kind) throw new Error(`not in the subset: ${token?.text}`);
    return token;
  }

  private taken(keyword: string): boolean {
    const token = this.peek();
    const found = token?.kind === 'word' && token.text.toUpperCase() === keyword;
    if (found) this.at++;
    return found;
  }

  private keyword(keyword: string): void {
    if (!this.taken(keyword)) throw new Error(`${keyword} expected`);
  }

  private takenSign(sign: string): boolean {
    const token = this.peek();
    const found = token?.kind === 'sign' && token.text === sign;
    if (found) this.at++;
    return found;
  }

  private sign(sign: string): void {
    if (!this.takenSign(sign)) throw new Error(`${sign} expected`);
  }
}

function isRecord(value: unknown): value is Columns {
  return typeof value === 'object' && value !== null;
}

/** emqx_topic:match(Topic, Filter): by words; a wildcard in the first one does not match `$...`. */
function matchesFilter(topic: unknown, filter: unknown): boolean {
  if (typeof topic !== 'string' || typeof filter !== 'string') return false;
  if (topic.startsWith('$') && /^[+#]/.test(filter)) return false;
  const words = topic.split('/');
  const pattern = filter.split('/');
  for (const [i, word] of pattern.entries()) {
    if (word === '#') return true;
    if (i >= words.length || (word !== '+' && word !== words[i])) return false;
  }
  return words.length === pattern.length;
}
