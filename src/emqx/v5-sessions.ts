import { RetryableError } from '../base/errors';
import type { HeldMessage, HeldView, SessionView } from './api';
import type { HttpAnswer } from './http';
import { pathSegment, segmentProblem } from './path-segment';
import { codeOf, isObject, parseJson, rejected } from './v5-answer';

/**
 * EMQX's session queue holds 1,000 messages unless its operator allows more, so one page is usually enough. EMQX
 * accepts up to 10,000.
 */
const PAGE = 1_000;
/**
 * The limit of both lists together: twice what a session should have. So a client's queue costs only a few requests.
 */
export const MOST_HELD = 2_000;

export interface SessionsV5Deps {
  /** GET under EMQX_URL, with retries. `read` throws RetryableError for an answer that decides nothing. */
  readonly get: <T>(path: string, read: (answer: HttpAnswer) => T, signal: AbortSignal) => Promise<T>;
  readonly shownUrl: string;
}

type List = 'mqueue_messages' | 'inflight_messages';
type Page =
  /** `next`: where the next page begins; null if this was the last page. */
  | { readonly kind: 'page'; readonly messages: readonly HeldMessage[]; readonly next: string | null }
  | { readonly kind: 'no-client' | 'unknown' };

/**
 * Reads GET /clients/{clientid}, and the lists of a session in EMQX 5.7 and later: /mqueue_messages and
 * /inflight_messages.
 */
export class SessionsV5 {
  constructor(private readonly deps: SessionsV5Deps) {}

  /** @throws RefusedError for a client id that no path can name. null would mean that EMQX knows no such session. */
  session(clientid: string, signal: AbortSignal): Promise<SessionView | null> {
    return this.deps.get(`/clients/${pathSegment(clientid)}`, (answer) => this.readSession(answer), signal);
  }

  /**
   * The queue is read first. A message moves from the queue to the messages in flight, never back. So a message that
   * moves between the two requests is in both lists; in the other order it could be in neither.
   */
  async held(clientid: string, signal: AbortSignal): Promise<HeldView> {
    if (segmentProblem(clientid) !== null) return { kind: 'unknown' };
    const messages: HeldMessage[] = [];
    for (const list of ['mqueue_messages', 'inflight_messages'] as const) {
      const end = await this.readList(clientid, list, messages, signal);
      if (end === 'too-many') return { kind: 'list', messages: messages.slice(0, MOST_HELD), complete: false };
      if (end !== 'read') return { kind: end };
    }
    return { kind: 'list', messages, complete: true };
  }

  /** Adds the messages of the list to `messages`. */
  private async readList(
    clientid: string,
    list: List,
    messages: HeldMessage[],
    signal: AbortSignal,
  ): Promise<'read' | 'too-many' | 'no-client' | 'unknown'> {
    let position: string | null = null;
    do {
      // One more than MOST_HELD in total shows that there are too many.
      const limit = Math.min(PAGE, MOST_HELD + 1 - messages.length);
      const from: string = position === null ? '' : `&position=${encodeURIComponent(position)}`;
      const path = `/clients/${pathSegment(clientid)}/${list}?payload=none&limit=${limit}${from}`;
      const page: Page = await this.deps.get(path, (answer) => this.readPage(answer, limit), signal);
      if (page.kind !== 'page') return page.kind;
      messages.push(...page.messages);
      if (messages.length > MOST_HELD) return 'too-many';
      position = page.next;
    } while (position !== null);
    return 'read';
  }

  private readPage(answer: HttpAnswer, limit: number): Page {
    const { status, body } = answer;
    if (status === 404) {
      const code = codeOf(body);
      if (code === 'CLIENTID_NOT_FOUND') return { kind: 'no-client' };
      // The process of the connection ended while EMQX asked it. Another connection may have the session now.
      if (code === 'CLIENT_SHUTDOWN') throw new RetryableError('EMQX answered 404: the connection ended meanwhile (CLIENT_SHUTDOWN)');
      return { kind: 'unknown' };
    }
    // 501: a durable session. 403: the key may not read this path, but perhaps others.
    if (status === 400 || status === 403 || status === 501) return { kind: 'unknown' };
    const json = parseJson(body);
    if (status !== 200 || !isObject(json) || !Array.isArray(json['data'])) throw rejected(answer, this.deps.shownUrl);
    const messages = (json['data'] as readonly unknown[]).map(heldMessage);
    const position = isObject(json['meta']) ? json['meta']['position'] : undefined;
    const hasNext = messages.length >= limit && typeof position === 'string' && position !== 'none';
    return { kind: 'page', messages, next: hasNext ? position : null };
  }

  private readSession(answer: HttpAnswer): SessionView | null {
    if (answer.status === 404 && codeOf(answer.body) === 'CLIENTID_NOT_FOUND') return null;
    const json = parseJson(answer.body);
    if (answer.status !== 200 || !isObject(json)) throw rejected(answer, this.deps.shownUrl);
    const connected = json['connected'] === true;
    // EMQX keeps a durable session for a while after its end.
    if (json['is_expired'] === true && !connected) return null;
    return {
      connected,
      connectedAt: timeOf(json, 'connected_at'),
      createdAt: timeOf(json, 'created_at'),
      persistent: isPersistent(json),
      durable: json['durable'] === true,
      queued: numberOf(json['mqueue_len']),
      inflight: numberOf(json['inflight_cnt']),
      ...mountpointOf(json),
    };
  }
}

/** An entry without an id could be any message. An error is better than a list that lacks a message. */
function heldMessage(entry: unknown): HeldMessage {
  if (!isObject(entry) || typeof entry['msgid'] !== 'string')
    throw new RetryableError('EMQX lists a message of a session without its id (msgid)');
  return { id: entry['msgid'], topic: String(entry['topic'] ?? ''), from: String(entry['from_clientid'] ?? '') };
}

/**
 * EMQX sets `is_persistent` when the session begins, and does not change it when a later connection changes the expiry
 * (source of 5.8.9). So the expiry is preferred.
 */
function isPersistent(json: Record<string, unknown>): boolean {
  const expiry = json['expiry_interval'];
  return typeof expiry === 'number' ? expiry > 0 : json['is_persistent'] === true;
}

/** An ISO 8601 time with the offset of EMQX's time zone, like `2026-11-26T10:00:00.250+01:00`. */
function timeOf(json: Record<string, unknown>, key: string): number {
  const time = Date.parse(String(json[key]));
  if (Number.isNaN(time)) throw new RetryableError(`EMQX tells of a session without a time (${key})`);
  return time;
}

const numberOf = (value: unknown): number => (typeof value === 'number' ? value : 0);

/** The mountpoint, with its placeholders filled in. EMQX writes null, '' or the string "undefined" if there is none. */
export function mountpointOf({ mountpoint }: Record<string, unknown>): { mountpoint?: string } {
  return typeof mountpoint === 'string' && mountpoint !== '' && mountpoint !== 'undefined' ? { mountpoint } : {};
}
