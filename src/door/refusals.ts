import { atMostEvery, type Logger } from '../base/log';
import type { DeadLetters } from '../dead-letters/letters';

/** The most bytes of a body that a dead letter keeps. They are enough to see what is wrong. */
const MAX_BYTES = 64 * 1024;
/** A queue that is away must not delay the 400 for longer (ms), nor fill the memory with bodies. */
const MAX_WAIT_MS = 2000;
const MAX_UNDER_WAY = 100;
/** The log has at most one line of each kind in this time (ms), because any number of bodies can be rejected. */
const LOG_MS = 60_000;

/** Keeps rejected bodies as dead letters. The client gets its 400 even if the dead letter cannot be written. */
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
    // U+0000 is replaced, because PostgreSQL rejects it in JSON. Bytes that are not UTF-8 decode to U+FFFD.
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
