import { ForbiddenError, type EmqxApi, type SessionView } from '../../emqx/api';
import { RefusedError } from '../../base/errors';
import type { Fact } from '../box/fact';
import { beganSession } from '../box/asked';
import { clientidOf } from '../../mqtt/consumer';
import { eachOf } from '../../base/parallel';
import { doMeet } from '../box/freshness';
import { GRACE_MS } from '../times';
import type { Seat } from './seat';

/** Questions to EMQX at a time: 2 to 3 ms each (facts). */
const PARALLEL = 16;

/** Asks EMQX what it knows of clients' sessions, for those that need it. What fails for one fails for it alone. */
export class Asker {
  constructor(
    private readonly emqx: Pick<EmqxApi, 'session' | 'held'>,
    private readonly now: () => number,
  ) {}

  async ask(seats: readonly Seat[]): Promise<void> {
    await eachOf(seats, PARALLEL, async (seat) => {
      try {
        seat.learn({ kind: 'asked', ...(await this.answerFor(seat)) }, this.now());
      } catch (error) {
        seat.error = error;
      }
    });
  }

  private async answerFor(seat: Seat): Promise<Answer> {
    const clientid = clientidOf(seat.consumer);
    let session: SessionView | null;
    try {
      session = await this.emqx.session(clientid);
    } catch (error) {
      // A client id that no path can name (`..`), or a key that may publish and not look: nothing is known, as with an EMQX that can't tell.
      if (error instanceof RefusedError || error instanceof ForbiddenError)
        return { session: unknownSession(seat), held: { kind: 'unknown' } };
      throw error;
    }
    // Of a durable session EMQX lists nothing (501), and nothing of it is ever acknowledged to us.
    if (session === null || !session.connected || session.durable) return { session, held: null };
    // Of a session that has just begun, for a client of which nothing is on its way, there is nothing to ask.
    return { session, held: beganSession(session) && isFirst(seat, session.connectedAt) ? null : await this.emqx.held(clientid) };
  }
}

type Answer = Omit<Extract<Fact, { kind: 'asked' }>, 'kind'>;

function unknownSession({ mailbox: { session, out } }: Seat): SessionView {
  const connectedAt = session?.connectedAt ?? 0;
  return { connected: true, connectedAt, createdAt: 0, persistent: true, durable: false, queued: 0, inflight: out.size };
}

/** The first subscriptions of a session that nothing was known of. */
function isFirst({ mailbox }: Seat, connectedAt: number): boolean {
  const { session, runs, out, held } = mailbox;
  // Then it is asked what kind of session it is, and nothing else.
  if (session?.isNew === true) return session.isDurable === null;
  if (out.size > 0 || held.size > 0) return false;
  return runs.every(({ requestedAt }) => requestedAt < connectedAt + GRACE_MS / 2) && !doMeet(runs.map(({ filter }) => filter));
}
