import { RetryableError } from '../base/errors';
import type { SessionView } from './api';
import type { HttpAnswer } from './http';
import { pathSegment } from './path-segment';
import { codeText, readReply, verdictOf } from './v4-answer';

/** How long EMQX's time zone is remembered (ms). It may change to summer time. */
const ZONE_TTL_MS = 60_000;
/** Time zones differ from UTC by multiples of a quarter of an hour (ms). */
const QUARTER_MS = 15 * 60_000;
const SECOND_MS = 1_000;

export interface SessionsV4Deps {
  /** GET under EMQX_URL, with retries. `read` throws RetryableError for an answer that decides nothing. */
  readonly get: <T>(path: string, read: (answer: HttpAnswer) => T, signal: AbortSignal) => Promise<T>;
  readonly shownUrl: string;
  readonly now: () => number;
}

type Json = Readonly<Record<string, unknown>>;

/**
 * Reads GET /clients/{clientid} of EMQX 4. EMQX 4 has no list of a session's messages, and its times are local times in
 * whole seconds.
 */
export class SessionsV4 {
  private zone: { readonly offsetMs: number; readonly until: number } | null = null;

  constructor(private readonly deps: SessionsV4Deps) {}

  /** @throws RefusedError for a client id that no path can name. null would mean that EMQX knows no such session. */
  async session(clientid: string, signal: AbortSignal): Promise<SessionView | null> {
    const client = await this.client(clientid, signal);
    return client === null ? null : viewOf(client, await this.offset(signal));
  }

  /**
   * Whether EMQX has a session that takes published messages: the client is connected, or the session outlives its
   * connection.
   */
  async isThere(clientid: string, signal: AbortSignal): Promise<boolean> {
    const client = await this.client(clientid, signal);
    return client !== null && (client['connected'] === true || isPersistent(client));
  }

  private client(clientid: string, signal: AbortSignal): Promise<Json | null> {
    return this.deps.get(`/clients/${pathSegment(clientid)}`, (answer) => this.readClient(answer), signal);
  }

  private readClient(answer: HttpAnswer): Json | null {
    const { code, data, message } = readReply(answer, this.deps.shownUrl);
    const verdict = verdictOf(code);
    if (verdict === 'no-client') return null;
    if (verdict !== 'ok') throw new RetryableError(`EMQX answered ${codeText(code, message)}`);
    // While a client moves, two nodes of a cluster may both know it for a moment.
    return data.find(({ connected }) => connected === true) ?? data[0] ?? null;
  }

  /** How far EMQX's local time is ahead of UTC (ms). */
  private async offset(signal: AbortSignal): Promise<number> {
    const now = this.deps.now();
    if (this.zone === null || this.zone.until <= now) {
      this.zone = { offsetMs: await this.deps.get('/brokers', (answer) => this.readOffset(answer), signal), until: now + ZONE_TTL_MS };
    }
    return this.zone.offsetMs;
  }

  private readOffset(answer: HttpAnswer): number {
    const { data } = readReply(answer, this.deps.shownUrl);
    const local = Date.parse(`${String(data.find(({ datetime }) => datetime !== undefined)?.['datetime']).replace(' ', 'T')}Z`);
    if (Number.isNaN(local)) throw new RetryableError('EMQX does not tell its local time (GET /brokers, datetime)');
    const utc = Date.parse(answer.date ?? '') || this.deps.now();
    return Math.round((local - utc) / QUARTER_MS) * QUARTER_MS;
  }
}

/**
 * Whole seconds don't show whether a connection began its session. A session that ends with its connection was begun by
 * it. A session that outlives its connection and began in the same second counts as resumed: if that is wrong, delivery
 * starts two seconds later. The opposite mistake would cause duplicates.
 */
function viewOf(client: Json, offsetMs: number): SessionView {
  const persistent = isPersistent(client);
  const connectedAt = timeOf(client, 'connected_at', offsetMs);
  const createdAt = timeOf(client, 'created_at', offsetMs);
  return {
    connected: client['connected'] === true,
    connectedAt,
    createdAt: persistent ? Math.min(createdAt, connectedAt - SECOND_MS) : createdAt >= connectedAt - SECOND_MS ? connectedAt : createdAt,
    persistent,
    durable: false,
    queued: numberOf(client['mqueue_len']),
    inflight: numberOf(client['inflight']),
  };
}

function isPersistent(client: Json): boolean {
  return numberOf(client['expiry_interval']) > 0;
}

/** A local time like `2026-11-26 10:00:00`. */
function timeOf(client: Json, key: string, offsetMs: number): number {
  const time = Date.parse(`${String(client[key]).replace(' ', 'T')}Z`);
  if (Number.isNaN(time)) throw new RetryableError(`EMQX tells of a session without a time (${key})`);
  return time - offsetMs;
}

const numberOf = (value: unknown): number => (typeof value === 'number' ? value : 0);
