import type { EmqxApi } from '../../emqx/api';
import { clientidOf } from '../../mqtt/consumer';
import { eachOf } from '../../base/parallel';
import { hasOverlap } from '../box/freshness';
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
        const clientid = clientidOf(seat.consumer);
        const session = await this.emqx.session(clientid);
        const isNew = session !== null && session.createdAt >= session.connectedAt - 1_000;
        // Of a session that has just begun, for a client of which nothing is on its way, there is nothing to ask.
        const needsList = session !== null && session.connected && !(isNew && isFirst(seat, session.connectedAt));
        const held = needsList ? await this.emqx.held(clientid) : null;
        seat.learn({ kind: 'asked', session, held }, this.now());
      } catch (error) {
        seat.error = error;
      }
    });
  }
}

function isFirst({ mailbox }: Seat, connectedAt: number): boolean {
  const isEarly = mailbox.runs.every(({ requestedAt }) => requestedAt < connectedAt + GRACE_MS / 2);
  return isEarly && mailbox.out.size === 0 && mailbox.held.size === 0 && !hasOverlap(mailbox);
}
