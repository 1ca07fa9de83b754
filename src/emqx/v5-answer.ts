import { RetryableError } from '../base/errors';
import type { Health } from '../base/health';
import { AuthError, ForbiddenError, NoSuchPathError, type PublishOutcome } from './api';
import type { HttpAnswer } from './http';

/** What EMQX 5 answered to a publish of one or several messages. */
export type PublishAnswer =
  /** One per message; null: matched, but EMQX could not hand it over (503 failed_to_dispatch, or `trouble` says why), so it must be sent again. */
  | { readonly kind: 'outcomes'; readonly outcomes: readonly (PublishOutcome | null)[]; readonly trouble?: string }
  /** Nothing was published: one bad entry makes the whole bulk a 400. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** 500 with an empty body: too large, or something that made EMQX's handler crash. */
  | { readonly kind: 'crashed' };

const NO_MATCHING_SUBSCRIBERS = 16;

const WRONG_BASE = "is it EMQX 5's REST base (http://host:18083/api/v5)?";

/** Reasons go into logs and dead letters; EMQX quotes what it could not read, payloads included. */
const MAX_REASON = 300;

/** @returns what a final answer means; throws RetryableError for any other. */
export function readPublishAnswer(answer: HttpAnswer, count: number, url: string): PublishAnswer {
  const { status, body } = answer;
  if (status === 200 || status === 202 || status === 503) {
    const outcomes = outcomesOf(status, parseJson(body), count);
    if (outcomes !== null) return { kind: 'outcomes', outcomes };
  }
  if (status === 400 || status === 413) return { kind: 'refused', reason: reasonOf(answer) };
  if (status === 500 && body === '') return { kind: 'crashed' };
  throw rejected(answer, url);
}

/** What EMQX 5 answered to a subscription from outside. */
export type SubscribeAnswer =
  | { readonly result: 'subscribed' | 'not-connected' }
  /** `refused`: the same again is useless; `incomplete`: some were made, making all of them again is harmless. */
  | { readonly result: 'refused' | 'incomplete'; readonly reason: string };

export function readSubscribeAnswer(answer: HttpAnswer, url: string): SubscribeAnswer {
  const { status, body } = answer;
  if (status === 404 && codeOf(body) === 'CLIENTID_NOT_FOUND') return { result: 'not-connected' };
  if (status === 400) return { result: 'refused', reason: reasonOf(answer) };
  if (status !== 200) throw rejected(answer, url);
  const failed = failuresOf(parseJson(body));
  if (failed.length === 0) return { result: 'subscribed' };
  const reasons = failed.map((entry) => (isObject(entry) ? String(entry['reason']) : 'unknown'));
  if (reasons.every((reason) => reason.includes('channel_not_found'))) return { result: 'not-connected' };
  // invalid_topic_filter, invalid_subopts_nl, ...: the same again would stop the client's lane for ever.
  const invalid = reasons.find((reason) => reason.includes('invalid'));
  if (invalid !== undefined) return { result: 'refused', reason: invalid.slice(0, MAX_REASON) };
  return { result: 'incomplete', reason: reasons.join(', ').slice(0, MAX_REASON) };
}

/** What EMQX 5 answered to an unsubscribe from outside: it does not say which of them there were. */
export function readUnsubscribeAnswer(answer: HttpAnswer, url: string): 'unsubscribed' | 'not-connected' {
  if (answer.status === 204 || answer.status === 200) return 'unsubscribed';
  if (answer.status === 404 && codeOf(answer.body) === 'CLIENTID_NOT_FOUND') return 'not-connected';
  throw rejected(answer, url);
}

/** A bulk is a 200 even when some failed, {succeed, failed: [{data, reason}]}: the client may have gone meanwhile (EMQX's source). */
function failuresOf(json: unknown): readonly unknown[] {
  if (!isObject(json)) return [];
  // In early 5.0 `failed` is a number and the list is `detail`.
  return [json['failed'], json['detail']].find(Array.isArray) ?? [];
}

/** `EMQX 5.8.9`, and how many of a cluster's nodes run. Throws when this is no answer of GET /nodes. */
export function readNodesAnswer(answer: HttpAnswer, url: string): Health {
  const json = parseJson(answer.body);
  if (answer.status !== 200) throw rejected(answer, url);
  if (!Array.isArray(json)) throw new RetryableError(`EMQX_URL: ${url} is not EMQX's REST API`);
  const nodes = (json as readonly unknown[]).filter(isObject);
  // 'Running' in 5.0.
  const running = nodes.filter((node) => String(node['node_status']).toLowerCase() === 'running');
  const versions = [...new Set(running.map((node) => String(node['version'] ?? '(unknown version)')))].sort();
  if (running.length === 0) return { ok: false, detail: `EMQX_URL: no EMQX node runs at ${url}` };
  const cluster = nodes.length > 1 ? `, ${running.length} of ${nodes.length} nodes running` : '';
  return { ok: true, detail: `EMQX ${versions.join(' and ')}${cluster}` };
}

/** The error for an answer that settles nothing: the key is refused, or the same request may succeed later. */
export function rejected(answer: HttpAnswer, url: string): RetryableError {
  const { status, request } = answer;
  if (status === 401 || status === 403) {
    const refused = `EMQX_API_KEY / EMQX_API_SECRET: refused by EMQX (${status} ${codeOf(answer.body) ?? 'no code'})`;
    if (status === 401) return new AuthError(`${refused}; compare both with System > API Key in EMQX's dashboard`);
    return new ForbiddenError(`${refused} for ${request ?? 'this request'}; give the key a role, and scopes, that allow it`);
  }
  if (status === 404)
    return new NoSuchPathError(`EMQX_URL: ${url} answered 404${request === undefined ? '' : ` to ${request}`}: ${WRONG_BASE}`);
  if (status >= 300 && status < 400) return new RetryableError(`EMQX_URL: ${url} answered ${status}: ${WRONG_BASE}`);
  return new RetryableError(`EMQX answered ${status}: ${reasonOf(answer)}`);
}

/** EMQX's own name for an error, and nothing else: never a text that could quote what we sent. */
export function codeOf(body: string): string | null {
  const json = parseJson(body);
  return isObject(json) && typeof json['code'] === 'string' && /^\w{1,64}$/.test(json['code']) ? json['code'] : null;
}

/** `packet_too_large (151)`, `... (BAD_REQUEST)`, or the body's beginning when it is not EMQX's. */
export function reasonOf({ status, body }: HttpAnswer): string {
  const json = parseJson(body);
  if (!isObject(json)) return body.slice(0, MAX_REASON) || `HTTP ${status}`;
  const code = json['reason_code'] ?? json['code'];
  const message = typeof json['message'] === 'string' ? json['message'] : JSON.stringify(json['message'] ?? json);
  return `${message.slice(0, MAX_REASON)} (${String(code ?? status)})`;
}

export function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** @returns null when the body is not an answer to this many messages (a proxy's page, for instance). */
function outcomesOf(status: number, json: unknown, count: number): (PublishOutcome | null)[] | null {
  const entries = count === 1 && isObject(json) ? [json] : json;
  if (!Array.isArray(entries) || entries.length !== count) return null;
  const outcomes: (PublishOutcome | null)[] = [];
  for (const entry of entries as readonly unknown[]) {
    const outcome = outcomeOf(status, entry);
    if (outcome === undefined) return null;
    outcomes.push(outcome);
  }
  return outcomes;
}

function outcomeOf(status: number, entry: unknown): PublishOutcome | null | undefined {
  if (!isObject(entry)) return undefined;
  if (typeof entry['id'] === 'string') return { result: 'delivered', id: entry['id'] };
  if (entry['reason_code'] === NO_MATCHING_SUBSCRIBERS) return { result: 'no-subscribers' };
  if (typeof entry['reason_code'] !== 'number') return undefined;
  return status === 503 ? null : { result: 'refused', reason: reasonOf({ status, body: JSON.stringify(entry) }) };
}
