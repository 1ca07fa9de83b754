import { RetryableError } from '../../base/errors';
import { GRACE_MS } from '../times';
import type { Boxes } from './boxes';
import type { Seat } from './seat';

/** A pass that has taken this long (ms) looks whether its mailboxes are still as it loaded them. */
const LOOK_MS = GRACE_MS / 4;

/**
 * Keeps a process that stood still from sending what its successor has sent: the claims of both have ended, and nobody
 * may have acknowledged the messages yet.
 */
export class Fresh {
  constructor(
    private readonly boxes: Pick<Boxes, 'load'>,
    private readonly now: () => number,
  ) {}

  /** Notes an error in each seat whose mailbox another process has saved since the seat was loaded. */
  async check(seats: readonly Seat[]): Promise<void> {
    const at = this.now();
    const old = seats.filter(({ freshAt }) => at - freshAt > LOOK_MS);
    if (old.length === 0) return;
    const found = await this.boxes.load(new Map(old.map(({ key, consumer }) => [key, consumer])));
    for (const seat of old) {
      if (found.get(seat.key)?.version === seat.before) seat.freshAt = at;
      else seat.error = new RetryableError('another process has worked on the mailbox since it was loaded; its events are handled again');
    }
  }
}
