import { isStorableId } from '../mqtt/message';
import { stringProblem, topicProblem } from '../mqtt/validity';
import { validationProblem } from '../door/problem';
import type { LetterPosition } from '../dead-letters/box';

/** Where a page ended: after this message, or after all messages of the topic if `id` is null. */
export interface Cursor {
  readonly topic: string;
  readonly id: string | null;
}

export function encodeCursor({ topic, id }: Cursor): string {
  return Buffer.from(JSON.stringify({ topic, id })).toString('base64url');
}

/** @throws Problem 400 */
export function decodeCursor(text: string, belongs: (topic: string) => boolean): Cursor {
  const { topic, id } = parse(text);
  const isId = id === null || (typeof id === 'string' && isStorableId(id));
  if (typeof topic !== 'string' || topicProblem(topic) !== null || !isId || !belongs(topic)) {
    throw validationProblem([{ path: 'after', message: 'must be the value of next in the previous page, with the same topic or filter' }]);
  }
  return { topic, id: id as string | null };
}

/** Encodes the last text of a page, for a list that is sorted by text. */
export function encodeText(text: string): string {
  return Buffer.from(text).toString('base64url');
}

/** @throws Problem 400 */
export function decodeText(cursor: string): string {
  const text = Buffer.from(cursor, 'base64url').toString('utf8');
  if (encodeText(text) !== cursor || stringProblem(text) !== null)
    throw validationProblem([{ path: 'after', message: 'must be the value of next in the previous page' }]);
  return text;
}

export function encodePosition({ at, id }: LetterPosition): string {
  return Buffer.from(JSON.stringify({ at, id })).toString('base64url');
}

/** @throws Problem 400 */
export function decodePosition(text: string): LetterPosition {
  const { at, id } = parse(text);
  if (!Number.isSafeInteger(at) || typeof id !== 'string' || stringProblem(id) !== null) {
    throw validationProblem([{ path: 'after', message: 'must be the value of next in the previous page' }]);
  }
  return { at: at as number, id };
}

function parse(text: string): Record<string, unknown> {
  try {
    return (JSON.parse(Buffer.from(text, 'base64url').toString('utf8')) ?? {}) as Record<string, unknown>;
  } catch {
    return {};
  }
}
