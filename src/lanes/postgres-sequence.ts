import type { Pool } from 'pg';
import { errorText, RetryableError } from '../base/errors';
import type { LaneProgress, Sequence } from './sequence';

/**
 * All lanes share BullMQ's sequence of jobs. A job whose transaction has not ended already has a number, but no caller
 * has been told that it was accepted.
 */
export class PostgresSequence implements Sequence {
  constructor(private readonly pool: Pool) {}

  async progress(lanes: readonly string[]): Promise<ReadonlyMap<string, LaneProgress>> {
    if (lanes.length === 0) return new Map();
    try {
      const { rows } = await this.pool.query<{ lane: string; tail: string; waiting: string | null; active: string | null }>(PROGRESS, [
        lanes,
      ]);
      return new Map(
        rows.map(({ lane, tail, waiting, active }) => {
          const left = [waiting, active].filter((number) => number !== null).map(Number);
          return [
            lane,
            {
              tail: Number(tail),
              oldest: left.length === 0 ? null : Math.min(...left),
              waiting: waiting === null ? null : Number(waiting),
            },
          ];
        }),
      );
    } catch (error) {
      throw new RetryableError(`the queue's database: ${errorText(error)}`);
    }
  }
}

/**
 * One statement sees one snapshot, so a job that becomes active is seen in exactly one of the two states. The order is
 * that of BullMQ's index.
 */
const PROGRESS = `
  SELECT lane, (SELECT last_value FROM offline_queue.job_seq) AS tail,
    (SELECT seq FROM offline_queue.job WHERE queue = lane AND state = 'waiting' ORDER BY priority, seq LIMIT 1) AS waiting,
    (SELECT min(seq) FROM offline_queue.job WHERE queue = lane AND state = 'active') AS active
  FROM unnest($1::text[]) AS lane`;
