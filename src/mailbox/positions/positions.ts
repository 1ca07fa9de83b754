import { OpenPositions, type ConsumerPositions } from './consumer-positions';
import { Known, type PositionsDeps } from './known';

export type { ConsumerPositions } from './consumer-positions';
export { FILTERS, markOf, startOf, type PositionsDeps, type ReadRef } from './known';

/**
 * Read positions (pubsub mode). The positions of one consumer are read and written only in its client lane, and with a
 * version (promise 21).
 *
 * A consumer also has a row for each wildcard filter that it subscribed to. That row holds only times. For topics
 * without a row of their own it says since when the consumer reads them, and that it has read nothing of them.
 */
export class Positions {
  private readonly known: Known;

  constructor(deps: PositionsDeps, loose?: number) {
    this.known = new Known(deps, loose);
  }

  /** Opens the positions of one consumer for one pass. */
  open(consumer: string): ConsumerPositions {
    return new OpenPositions(consumer, this.known);
  }
}
