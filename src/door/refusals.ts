import type { Logger } from '../base/log';
import type { DeadLetters } from '../dead-letters/letters';

/** Enough of a body to see what is wrong with it. */
const MAX_BYTES = 64 * 1024;
/** A queue that is away must not hold up the 400, nor gather bodies in memory. */
const MAX_WAIT_MS = 2000;
const MAX_UNDER_WAY = 100;

/** Keeps bodies refused at the door as dead letters. Whatever happens to that, the 400 stays a 400. */
export class Refusals {
  private underWay = 0;

  constructor(
    private readonly deadLetters: Pick<DeadLetters, 'record'>,
    private readonly log: Logger,
  ) {}

  async record(reason: string, body: Buffer, source: string): Promise<void> {
    if (this.underWay >= MAX_UNDER_WAY) {
      this.log.warn({ reason, source }, 'refused event not recorded: the dead letters are too slow');
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
      this.log.warn({ err, reason, source }, 'refused event not recorded');
    }
  }
}

function patience(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, MAX_WAIT_MS).unref());
}
