import { ForbiddenError, type EmqxApi, type SessionView } from '../../emqx/api';
import { RefusedError } from '../../base/errors';
import type { Of } from '../box/fact';
import { beganSession } from '../box/asked';
import { clientidOf } from '../../mqtt/consumer';
import { eachOf } from '../../base/parallel';
import { hadOverlap } from '../box/freshness';
import { GRACE_MS } from '../times';
import type { Seat } from './seat';

/** Parallel questions to EMQX; each takes 2 to 3 ms. */
const PARALLEL = 16;

/**
 * Asks EMQX what it knows of the sessions of clients whose mailboxes ask for it. An error for one client does not
 * affect the others.
 */
export class Asker {
  constructor(
    private readonly emqx: Pick<EmqxApi, 'session' | 'held'>,
    private readonly now: () => number,
  ) {}

  async ask(seats: readonly Seat[]): Promise<void> {
    await eachOf(seats, PARALLEL, async (seat) => {
      try {
        const at = this.now();
        const answer = await this.answerFor(seat);
        seat.learn({ kind: 'asked', at, ...answer }, this.now());
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
      // EMQX's API can't name some client ids in a path (`..`), and some keys may publish but not read clients. The
      // mailbox is then treated as with an EMQX that can't list what it holds.
      if (error instanceof RefusedError || error instanceof ForbiddenError)
        return { session: unknownSession(seat), held: { kind: 'unknown' } };
      throw error;
    }
    // EMQX can't list what a durable session holds (it answers 501), and reports no acknowledgements of it.
    if (session === null || !session.connected || session.durable) return { session, held: null };
    // EMQX holds nothing for a session that has just begun if nothing was sent to the client yet.
    return { session, held: beganSession(session) && isFirst(seat, session.connectedAt) ? null : await this.emqx.held(clientid) };
  }
}

type Answer = Omit<Of<'asked'>, 'kind' | 'at'>;

function unknownSession({ mailbox: { session, out } }: Seat): SessionView {
  const connectedAt = session?.connectedAt ?? 0;
  return { connected: true, connectedAt, createdAt: 0, persistent: true, durable: false, queued: 0, inflight: out.size };
}

/** Whether the seat has only the first subscriptions of a session, and nothing was on its way to the client. */
function isFirst({ mailbox }: Seat, connectedAt: number): boolean {
  const { session, runs, out, held } = mailbox;
  // EMQX is then asked only for the kind of the session.
  if (session?.isNew === true) return session.isDurable === null;
  if (out.size > 0 || held.size > 0) return false;
  return runs.every(({ requestedAt }) => requestedAt < connectedAt + GRACE_MS / 2) && !hadOverlap(mailbox, connectedAt);
}
