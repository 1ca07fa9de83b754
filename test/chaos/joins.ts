import { streamOf } from './message';
import { newReading, type Missing, type Record } from './record';

/** The purge leaves what is younger (GRACE_MS in src/mailbox/times.ts): a subscription that came before may be on its way to us. ms. */
const GRACE_MS = 10_000;
/** What the server's clock and its view of acknowledgements may be behind. ms. */
const TOLERANCE_MS = 2_000;

/**
 * Readers that come while what everybody has read is purged (pubsub mode). A new one must get (promise 4) what was accepted before its subscription
 * and not purged before: what was young, or unread by somebody who was there. Of the rest it gets all or the newer part, as the oldest go first:
 * a hole in it was made after the subscription was accepted.
 */
export class Joins {
  /** By reader: when the server accepted its subscription. */
  private readonly acceptedAt = new Map<string, number>();

  constructor(private readonly recordsOf: () => Iterable<Record>) {}

  /** EMQX has the subscription: it delivers what comes from now on. @returns how many messages more are owed. */
  subscribed(reader: string, topic: string): number {
    let owed = 0;
    for (const record of this.of(topic)) {
      const isOwed = record.publishedAt === null;
      record.readings.set(reader, newReading(isOwed));
      if (isOwed) owed++;
    }
    return owed;
  }

  /** The server has accepted the subscription. @returns how many messages more are owed. */
  accepted(reader: string, topic: string, now: number): number {
    if (this.acceptedAt.has(reader)) return 0;
    this.acceptedAt.set(reader, now);
    let owed = 0;
    for (const record of this.of(topic)) {
      const reading = record.readings.get(reader);
      if (reading === undefined || reading.isOwed || this.purgeableAt(record, reader, 'ackedAt') - TOLERANCE_MS <= now) continue;
      reading.isOwed = true;
      if (reading.ackAcceptedAt === null) owed++;
    }
    return owed;
  }

  /** Older than the grace, and acknowledged by all who came before the reader. */
  private purgeableAt({ publishedAt, readings }: Record, reader: string, time: 'ackedAt' | 'ackAcceptedAt'): number {
    const since = this.acceptedAt.get(reader) ?? Infinity;
    // Of what may have been removed before somebody came it is not known whether he could read it.
    const others = [...readings].filter(
      ([other, { isOwed }]) => isOwed && other !== reader && (this.acceptedAt.get(other) ?? Infinity) < since,
    );
    return Math.max((publishedAt ?? Infinity) + GRACE_MS, ...others.map(([, reading]) => reading[time] ?? Infinity));
  }

  /** What a new reader did not get although the server still had something older, that could be purged before, and sent it. */
  holes(): Missing[] {
    const holes: Missing[] = [];
    for (const reader of this.acceptedAt.keys()) {
      /** By stream, of what the reader got from the server: the earliest that could be purged. */
      const got = new Map<string, number>();
      for (const record of this.recordsOf()) {
        const reading = record.readings.get(reader);
        if (reading === undefined || reading.isOwed) continue;
        const at = this.purgeableAt(record, reader, 'ackAcceptedAt');
        const stream = streamOf(record.identity);
        const receipts = [...reading.receipts.values()].flat();
        if (receipts.some(({ ours }) => ours)) got.set(stream, Math.min(got.get(stream) ?? Infinity, at));
        else if (receipts.length === 0 && (got.get(stream) ?? Infinity) + TOLERANCE_MS <= at)
          holes.push({ identity: record.identity, reader });
      }
    }
    return holes;
  }

  private *of(topic: string): Generator<Record> {
    for (const record of this.recordsOf()) if (record.identity.topic === topic) yield record;
  }
}
