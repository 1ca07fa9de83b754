import type { types } from 'cassandra-driver';
import { RetryableError } from '../../base/errors';
import { groupBy } from '../../base/parallel';
import { split } from '../../base/split';
import { versionOf } from '../shared/versions';
import type { Position } from '../store';
import type { Bound, Database } from './database';
import { toNumber } from './rows';

interface Current {
  readonly topic?: string;
  readonly version?: types.Long | null;
}

/** A position, and what is known of the stored version. null: the row has no version, or there is no row. */
interface Pending {
  readonly position: Position;
  readonly expected: 'a version' | null;
}

/** The limits of one transaction, which is written to disk as a whole. */
const AT_ONCE = 250;
const BYTES_AT_ONCE = 1_048_576;
const ATTEMPTS = 10;

/**
 * Writes and deletes positions unless the stored version is greater. It uses lightweight transactions, one for all of a
 * consumer's positions, which are one partition. Timestamps made from the versions would not work, for three reasons.
 * They would be smaller than those of rows from before there were versions. Of two writes with the same version
 * Cassandra would take the greater value of each column. And the marker of a deletion would hide a position that begins
 * again with a smaller version.
 */
export async function writePositions(db: Database, positions: readonly Position[]): Promise<void> {
  const byConsumer = groupBy(positions, ({ consumer }) => consumer);
  await db.wave([...byConsumer.values()], async (own) => {
    for (const part of split(own, AT_ONCE, BYTES_AT_ONCE, sizeOf)) await writePartition(db, part);
  });
}

/**
 * A rejected transaction reports the state of all its rows. Positions that are newer in the table are left out, and the
 * others are tried again.
 */
async function writePartition(db: Database, positions: readonly Position[]): Promise<void> {
  // The first version of a position finds no row. A later one finds the version before it.
  let pending = positions.map((position): Pending => ({ position, expected: versionOf(position) > 1 ? 'a version' : null }));
  for (let attempt = 0; pending.length > 0 && attempt < ATTEMPTS; attempt++) {
    const current = await db.batchConditionally<Current>(pending.map(statementOf));
    if (current === null) return;
    const stored = new Map(current.map(({ topic, version }) => [topic, toNumber(version)]));
    pending = pending.flatMap(({ position }): Pending[] => {
      const version = stored.get(position.topic) ?? null;
      if (version !== null && version > versionOf(position)) return [];
      return [{ position, expected: version === null ? null : 'a version' }];
    });
  }
  if (pending.length > 0) throw new RetryableError('too many writers of the same read positions');
}

function statementOf({ position, expected }: Pending): Bound {
  const { consumer, topic, id, receipts } = position;
  const version = versionOf(position);
  // This is the only comparison with null that can be true.
  const [condition, bound] = expected === null ? ['IF version = null', []] : ['IF version <= ?', [version]];
  if (id === '' && receipts.length === 0)
    return { query: `DELETE FROM acked WHERE clientid = ? AND topic = ? ${condition}`, params: [consumer, topic, ...bound] };
  const values = [id === '' ? null : id, JSON.stringify(receipts), version === 0 ? null : version];
  return {
    query: `UPDATE acked SET msgid = ?, receipts = ?, version = ? WHERE clientid = ? AND topic = ? ${condition}`,
    params: [...values, consumer, topic, ...bound],
  };
}

/** About the bytes of a position in its statement. */
function sizeOf({ topic, receipts }: Position): number {
  return topic.length + receipts.reduce((sum, each) => sum + each.length + 3, 0);
}
