import { RetryableError } from '../base/errors';
import type { Health } from '../base/health';
import { AuthError, type PublishOutcome } from './api';
import type { HttpAnswer } from './http';
import { isObject, parseJson, readNodesAnswer, reasonOf, type PublishAnswer } from './v5-answer';

/** EMQX 4 answers HTTP 200 to nearly everything. `code` tells the result. */
const CODE = { ok: 0, missingParameter: 107, wrongType: 108, badFormat: 109, noSuchClient: 112, badTopic: 115 } as const;

/** Codes after which the same request will never be accepted. */
const FINAL: ReadonlySet<number> = new Set([CODE.missingParameter, CODE.wrongType, CODE.badFormat, CODE.badTopic]);

export interface Reply {
  readonly code: number;
  /** The entries of a list; empty if the answer has none. */
  readonly data: readonly Record<string, unknown>[];
  readonly message: string;
}

export type Verdict = 'ok' | 'no-client' | 'refused' | 'failed';

/** @throws RetryableError if this is not an answer of EMQX 4, and AuthError if EMQX rejects the key. */
export function readReply(answer: HttpAnswer, url: string): Reply {
  const json = parseJson(answer.body);
  if (answer.status !== 200 || !isObject(json) || typeof json['code'] !== 'number') throw rejectedV4(answer, url);
  const { code, data, message } = json;
  return { code, data: [data].flat().filter(isObject), message: typeof message === 'string' ? message.slice(0, 300) : '' };
}

export function verdictOf(code: unknown): Verdict {
  if (code === CODE.ok) return 'ok';
  if (code === CODE.noSuchClient) return 'no-client';
  return FINAL.has(Number(code)) ? 'refused' : 'failed';
}

/** The code as messages show it. */
export function codeText(code: unknown, message = ''): string {
  const text = message === '' && code === CODE.badTopic ? 'bad topic' : message;
  return text === '' ? `code ${String(code)}` : `${text} (code ${String(code)})`;
}

/**
 * Reads the answer to POST /mqtt/publish or /mqtt/publish_batch. EMQX 4 does not tell whether anybody is subscribed,
 * nor its ids of a batch.
 */
export function readPublishAnswerV4(answer: HttpAnswer, count: number, url: string): PublishAnswer {
  if (answer.status === 413) return { kind: 'refused', reason: reasonOf(answer) };
  // EMQX's handler crashed on one message. Messages before it in the batch may be published, and are then sent twice.
  if (answer.status === 500) return { kind: 'crashed' };
  const { code, data, message } = readReply(answer, url);
  const verdict = verdictOf(code);
  if (verdict === 'refused') return { kind: 'refused', reason: codeText(code, message) };
  if (verdict !== 'ok') throw new RetryableError(`EMQX answered ${codeText(code, message)}`);
  if (count === 1) return { kind: 'outcomes', outcomes: [{ result: 'delivered', id: null }] };
  if (data.length !== count) throw new RetryableError(`EMQX answered for ${data.length} of ${count} messages`);
  const failed = data.find((entry) => verdictOf(entry['code']) === 'failed' || verdictOf(entry['code']) === 'no-client');
  const trouble = failed === undefined ? {} : { trouble: `EMQX answered ${codeText(failed['code'])} to a message` };
  return { kind: 'outcomes', outcomes: data.map((entry) => outcomeOf(entry['code'])), ...trouble };
}

/** null: not published, so it must be sent again. */
function outcomeOf(code: unknown): PublishOutcome | null {
  const verdict = verdictOf(code);
  if (verdict === 'ok') return { result: 'delivered', id: null };
  return verdict === 'refused' ? { result: 'refused', reason: codeText(code) } : null;
}

/** For example `EMQX 4.4.19`. */
export function readNodesAnswerV4(answer: HttpAnswer, url: string): Health {
  const { code, data, message } = readReply(answer, url);
  if (code !== CODE.ok) throw new RetryableError(`EMQX answered ${codeText(code, message)}`);
  return readNodesAnswer({ ...answer, body: JSON.stringify(data) }, url);
}

/** The error for an answer that decides nothing. */
function rejectedV4(answer: HttpAnswer, url: string): RetryableError {
  const { status } = answer;
  if (status === 401 || status === 403) {
    return new AuthError(
      `EMQX_API_KEY / EMQX_API_SECRET: refused by EMQX (${status}); they are the AppID and AppSecret of an application in EMQX 4's dashboard`,
    );
  }
  if (status === 200 || status === 404 || (status >= 300 && status < 400)) {
    return new RetryableError(
      `EMQX_URL: ${url} answered ${status}, and not as EMQX 4 does: is it EMQX 4's REST base (http://host:8081/api/v4)?`,
    );
  }
  return new RetryableError(`EMQX answered ${status}: ${reasonOf(answer)}`);
}
