import { setTimeout as sleep } from 'node:timers/promises';
import type { types } from 'cassandra-driver';
import type { Database } from './database';
import { isForbidden, isReadFailure } from './errors';
import { ExpiryIndex } from './expiry';
import { keepOldTombstones } from './old-tombstones';
import type { HoldOn } from './takeover';

/** The tables that the server does not use any more. */
const UNUSED = ['mqtt_msg_id', 'mqtt_msg_expiry', 'mqtt_msg_expiry_bucket'];
const ENTRIES_PER_PAGE = 5_000;
const LOOK_AGAIN_MS = 250;
const MOST_LOOKS = 240;

interface OldEntry {
  readonly expires_at: types.Long;
  readonly msgid: string;
  readonly topic: string;
}

/** Migration 005. It may be repeated: a message that is entered twice is purged once. */
export async function moveToFewerWrites(db: Database, holdOn: HoldOn, from: number): Promise<void> {
  if (from > 0) await keepOldTombstones(db);
  // An earlier attempt may have dropped the table, and died afterwards.
  if (await isThere(db, 'mqtt_msg_expiry')) await moveExpiries(db, holdOn);
  await untilIndexed(db, holdOn);
  for (const table of UNUSED) await drop(db, table);
}

async function isThere(db: Database, table: string): Promise<boolean> {
  const cql = 'SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?';
  return (await db.rows(cql, [db.keyspace, table])).length > 0;
}

async function moveExpiries(db: Database, holdOn: HoldOn): Promise<void> {
  const expiry = new ExpiryIndex(db);
  for await (const rows of db.pages<OldEntry>('SELECT expires_at, msgid, topic FROM mqtt_msg_expiry', [], ENTRIES_PER_PAGE)) {
    await holdOn(0);
    const entries = rows.map((row) => ({ topic: row.topic, id: row.msgid, expiresAt: row.expires_at.toNumber() }));
    await expiry.note(entries, Date.now(), db.timestamp());
  }
}

/**
 * Cassandra builds an index in the background, and fails reads that need it until then. In a large table that may take
 * longer than the migration waits: requests for a message by its id alone fail meanwhile, and nothing else.
 */
async function untilIndexed(db: Database, holdOn: HoldOn): Promise<void> {
  for (let looks = 0; looks < MOST_LOOKS; looks++) {
    await holdOn(0);
    try {
      await db.rows("SELECT topic FROM mqtt_msg WHERE msgid = 'none' LIMIT 1");
      return;
    } catch (error) {
      if (!isReadFailure(error)) throw error;
      await sleep(LOOK_AGAIN_MS);
    }
  }
}

/** A user without the right to drop tables keeps them. Nobody reads or writes them. */
async function drop(db: Database, table: string): Promise<void> {
  try {
    await db.define(`DROP TABLE IF EXISTS ${table}`);
  } catch (error) {
    if (!isForbidden(error)) throw error;
  }
}
