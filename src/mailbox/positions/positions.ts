import { OpenPositions, type ConsumerPositions } from './consumer-positions';
import { Known, type PositionsDeps } from './known';

export type { ConsumerPositions } from './consumer-positions';
export { FILTERS, markOf, startOf, type PositionsDeps, type ReadRef } from './known';

/**
 * Read positions (pubsub mode). One consumer's are read and written in its client lane only, and with a version (promise 21).
 *
 * A consumer also has a row for each wildcard filter that it subscribed to, with nothing but its times: of topics that have no row of their own yet it
 * tells since when the consumer reads them, and that nothing of them is read.
 */
export class Positions {
  private readonly known: Known;

  constructor(deps: PositionsDeps, loose?: number) {
    this.known = new Known(deps, loose);
  }

  /** For one pass. */
  open(consumer: string): ConsumerPositions {
    return new OpenPositions(consumer, this.known);
  }
}
