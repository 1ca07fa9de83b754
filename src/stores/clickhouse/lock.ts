import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { RetryableError } from '../../base/errors';
import { codeOf, type Client } from './client';

const TABLE = 'mqtt_offline_lock';
const TABLE_EXISTS = 57;
const UNKNOWN_TABLE = 60;
/** The table was dropped between the parsing of a query and its first read. */
const TABLE_IS_DROPPED = 218;

export const BEAT_MS = 5_000;
/** A process without a sign of life for this long (s) counts as dead. */
const DEAD_AFTER_S = 60;
const POLL_MS = 200;

/**
 * Lets one process at a time work. ClickHouse has no locks, but if several processes create the same table, only one
 * succeeds. `isOurs` is called before each step, and throws if another process has taken this one for dead.
 *
 * A column of the table has the owner's name. So a process that stood still can't write a sign of life into the table of its successor, and
 * leaves that table where it is.
 */
export async function underLock(db: Client, work: (isOurs: () => Promise<void>) => Promise<void>): Promise<void> {
  const owner = `owner_${randomBytes(8).toString('hex')}`;
  const beat = () => db.insert(TABLE, [{ [owner]: 1 }]);
  const isHeld = async () =>
    (await db.count(
      `SELECT count() AS n FROM system.columns WHERE database = currentDatabase() AND table = '${TABLE}' AND name = '${owner}'`,
    )) > 0;
  while (!(await create(db, owner))) {
    await endIfDead(db);
    await sleep(POLL_MS);
  }
  await beat();
  // If beats fail, the next isOurs notices it at the latest.
  const timer = setInterval(() => void beat().catch(() => undefined), BEAT_MS);
  try {
    await work(async () => {
      if (!(await isHeld())) throw new RetryableError('another process migrates the schema');
    });
  } finally {
    clearInterval(timer);
    if (await isHeld()) await db.command(`DROP TABLE IF EXISTS ${TABLE}`);
  }
}

async function create(db: Client, owner: string): Promise<boolean> {
  try {
    await db.command(`CREATE TABLE ${TABLE} (${owner} UInt8, at DateTime DEFAULT now()) ENGINE = MergeTree ORDER BY at`);
    return true;
  } catch (error) {
    if (codeOf(error) === TABLE_EXISTS) return false;
    throw error;
  }
}

async function endIfDead(db: Client): Promise<void> {
  try {
    // A table without rows was created just now, or by a process that died before its first beat. Then the table's own
    // time counts.
    const dead = await db.count(
      `SELECT toUInt32(now()) - toUInt32(greatest((SELECT max(at) FROM ${TABLE}),
         (SELECT max(metadata_modification_time) FROM system.tables WHERE database = currentDatabase() AND name = '${TABLE}'))) > ${DEAD_AFTER_S} AS dead`,
    );
    if (dead > 0) await db.command(`DROP TABLE IF EXISTS ${TABLE}`);
  } catch (error) {
    if (![UNKNOWN_TABLE, TABLE_IS_DROPPED].includes(codeOf(error) ?? 0)) throw error;
  }
}
