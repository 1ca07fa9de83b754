import { atMostEvery, type Logger } from '../base/log';
import type { DeadLetters } from '../dead-letters/letters';

/** Enough of a body to see what is wrong with it. */
const MAX_BYTES = 64 * 1024;
/** A queue that is away must not hold up the 400, nor gather bodies in memory. */
const MAX_WAIT_MS = 2000;
const MAX_UNDER_WAY = 100;
/** Any number of bodies can be refused: the log has one line of each kind in this time. */
const LOG_MS = 60_000;

/** Keeps bodies refused at the door as dead letters. Whatever happens to that, the 400 stays a 400. */
export class Refusals {
  private underWay = 0;
  private readonly overloaded: (fields: object) => void;
  private readonly failed: (fields: object) => void;

  constructor(
    private readonly deadLetters: Pick<DeadLetters, 'record'>,
    log: Logger,
  ) {
    this.overloaded = atMostEvery(LOG_MS, (fields) => log.warn(fields, 'refused event not recorded: writing dead letters takes too long'));
    this.failed = atMostEvery(LOG_MS, (fields) => log.warn(fields, 'refused event not recorded: the dead letter cannot be written'));
  }

  async record(reason: string, body: Buffer, source: string): Promise<void> {
    if (this.underWay >= MAX_UNDER_WAY) {
      this.overloaded({ reason, source });
      return;
    }
    this.underWay++;
    const recorded = this.deliver(reason, body, source).finally(() => this.underWay--);
    await Promise.race([recorded, patience()]);
  }

  private async deliver(reason: string, body: Buffer, source: string): Promise<void> {
    // PostgreSQL takes no U+0000 in JSON; what is not UTF-8, or cut in the middle of a character, decodes to U+FFFD.
    const event = body.subarray(0, MAX_BYTES).toString('utf8').replaceAll('\0', '\ufffd');
    try {
      await this.deadLetters.record({ reason, event, source });
    } catch (err) {
      this.failed({ err, reason, source });
    }
  }
}

function patience(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, MAX_WAIT_MS).unref());
}
