/** A metric that a PromQL expression names. */
export interface Reference {
  readonly metric: string;
  /** Labels that its selector compares. */
  readonly labels: readonly string[];
}

export interface Parsed {
  readonly references: readonly Reference[];
  /** Labels of `by (...)` and `without (...)`. */
  readonly grouped: readonly string[];
}

/** Functions, aggregations and keywords, which are no metrics. An expression that needs another one adds it here. */
const WORDS = new Set([
  'sum',
  'min',
  'max',
  'count',
  'rate',
  'increase',
  'histogram_quantile',
  'by',
  'without',
  'and',
  'or',
  'unless',
  'on',
]);
const CLOSING: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}' };

/** Reads enough of PromQL to find a misspelt metric, label or function, and a missing bracket. @throws Error that says what is wrong. */
export function parsePromql(text: string): Parsed {
  const plain = text.replace(/"(?:[^"\\]|\\.)*"/g, '""');
  checkBrackets(plain);
  const grouped = [...plain.matchAll(/\b(?:by|without)\s*\(([^)]*)\)/g)].flatMap(([, list]) => names(list));
  const rest = plain.replace(/\b(?:by|without)\s*\([^)]*\)/g, ' ').replace(/\[[^\]]*\]/g, ' ');
  const references: Reference[] = [];
  for (const [, word = '', , selector] of rest.matchAll(/([a-zA-Z_:][\w:]*)(\s*\{([^}]*)\})?/g)) {
    if (!WORDS.has(word)) references.push({ metric: word, labels: labelsOf(selector) });
  }
  if (references.length === 0) throw new Error(`no metric in ${text}`);
  return { references, grouped };
}

function checkBrackets(text: string): void {
  const open: string[] = [];
  for (const each of text) {
    if (CLOSING[each] !== undefined) open.push(CLOSING[each]);
    else if (')]}'.includes(each) && open.pop() !== each) throw new Error(`${each} without its other half in ${text}`);
  }
  if (open.length > 0) throw new Error(`${open.join('')} is missing in ${text}`);
}

function labelsOf(selector: string | undefined): string[] {
  return names(selector).map((part) => {
    const [, label] = /^(\w+)\s*(?:=~|!~|!=|=)\s*""$/.exec(part) ?? [];
    if (label === undefined) throw new Error(`${part} is no comparison of a label`);
    return label;
  });
}

const names = (list: string | undefined): string[] =>
  (list ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
