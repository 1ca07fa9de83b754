/** How a template describes a value: a fixed value, a placeholder, or a path into a JSON payload. */
export type Expression =
  | { readonly kind: 'constant'; readonly value: string | number | boolean }
  | { readonly kind: 'placeholder'; readonly name: Placeholder }
  | { readonly kind: 'path'; readonly steps: readonly Step[] };

/** A key of an object, all elements of an array ("$0"), or the nth element, counted from 1 ("$1"). */
export type Step = { readonly key: string } | { readonly all: true } | { readonly nth: number };

/** EMQX's placeholders, and `$payload_base64` for payloads that are not text. */
const PLACEHOLDERS = ['$id', '$clientid', '$username', '$peerhost', '$qos', '$topic', '$payload', '$payload_base64', '$timestamp'] as const;
export type Placeholder = (typeof PLACEHOLDERS)[number];

/** @throws RangeError that says what is wrong and where. */
export function compileExpression(json: unknown, at: string): Expression {
  if (Array.isArray(json)) return compilePath(json, at);
  if (typeof json === 'number' || typeof json === 'boolean') return { kind: 'constant', value: json };
  if (typeof json !== 'string') throw new RangeError(`${at}: is ${nameOf(json)}; write a value, a placeholder, or ["$payload", key, ...]`);
  if (isPlaceholder(json)) return { kind: 'placeholder', name: json };
  if (/^\$\d+$/.test(json)) throw new RangeError(`${at}: "${json}" works in ["$payload", ...] only`);
  if (json.startsWith('$')) throw new RangeError(`${at}: unknown placeholder "${json}"; known are ${PLACEHOLDERS.join(', ')}`);
  return { kind: 'constant', value: json };
}

function compilePath([first, ...keys]: readonly unknown[], at: string): Expression {
  if (first !== '$payload') throw new RangeError(`${at}: a list begins with "$payload"`);
  if (keys.length === 0) return { kind: 'placeholder', name: '$payload' };
  return { kind: 'path', steps: keys.map((key) => compileStep(key, at)) };
}

function compileStep(key: unknown, at: string): Step {
  if (typeof key !== 'string')
    throw new RangeError(`${at}: ${JSON.stringify(key)} is no key; keys are texts, "$0" is all elements of an array, "$1" its first`);
  if (key === '$0') return { all: true };
  return /^\$[1-9]\d*$/.test(key) ? { nth: Number(key.slice(1)) } : { key };
}

function isPlaceholder(text: string): text is Placeholder {
  return (PLACEHOLDERS as readonly string[]).includes(text);
}

/** The kind of a JSON value, for messages to the operator. */
export function nameOf(json: unknown): string {
  if (json === null) return 'null';
  return Array.isArray(json) ? 'a list' : typeof json === 'object' ? 'an object' : `a ${typeof json}`;
}
