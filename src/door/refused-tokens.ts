import type { IncomingMessage } from 'node:http';
import { atMostEvery, type Logger } from '../base/log';
import { pathOf } from './failure';

/** The log has at most one line in this time (ms), because EMQX may send thousands of such events in a second. */
const LOG_MS = 60_000;
/** How long /readyz reports the rejected events after the last one (ms). */
const SHOWN_MS = 15 * 60_000;

const ADVICE =
  "EMQX loses an event that is answered so. Compare the header Authorization of EMQX's connector (offline_store, unless --name says otherwise) with INGEST_TOKEN, or run emqx-offline-store rules --install with the server's settings";

/**
 * Counts and reports events that were answered 401 or 403. A rule sends no token or a wrong one, and EMQX does not send
 * such an event again.
 */
export class RefusedTokens {
  private count = 0;
  private lastAt = -Infinity;
  private lastPath = '';
  private readonly warn: (fields: object) => void;

  constructor(
    log: Logger,
    private readonly now: () => number = Date.now,
  ) {
    this.warn = atMostEvery(LOG_MS, (fields) => log.warn(fields, `event refused: its token is missing or wrong. ${ADVICE}`));
  }

  note(req: IncomingMessage, status: number): void {
    const now = this.now();
    this.count = now - this.lastAt > SHOWN_MS ? 1 : this.count + 1;
    this.lastAt = now;
    this.lastPath = pathOf(req);
    this.warn({ path: this.lastPath, from: req.socket.remoteAddress, hasToken: req.headers.authorization !== undefined, status });
  }

  /** The text for /readyz; null if no event was rejected within the last 15 minutes. */
  detail(): string | null {
    if (this.now() - this.lastAt > SHOWN_MS) return null;
    return `${this.count} ${this.count === 1 ? 'event' : 'events'} refused for a missing or wrong token (last: ${new Date(this.lastAt).toISOString()}, ${this.lastPath}). ${ADVICE}`;
  }
}
