import type { Message } from '../../mqtt/message';
import { saveOrBisect } from '../shared/bisect';
import { split } from '../../base/split';
import type { Refusal } from '../store';
import type { Client } from './client';
import { tick } from './clock';
import { distinct } from './keys';
import { messageRow } from './rows';

/** About as many bytes of payloads are in one insert. The client and the server hold all rows of an insert in memory. */
const BYTES_PER_INSERT = 8 * 1_048_576;

/**
 * Writes messages into mqtt_msg, and reads nothing: one insert makes one part of the table, and that is nearly all that
 * a batch costs. A row decides nothing when it is written. What counts is decided when rows are read
 * (src/stores/clickhouse/living.ts):
 *
 * - Of several rows of one message the first that is not removed counts, so saving a message again changes nothing.
 * - A removal hides each row that was stored before the removal, or before the end of its tombstone (COVERED). A reader
 *   that sees the row of a removed message sees its removal as well, because readers look at mqtt_msg first and at
 *   mqtt_removed then. So it does not matter which of the two was written first, nor how many processes write at once.
 */
export async function save(db: Client, messages: readonly Message[]): Promise<Refusal[]> {
  const refusals: Refusal[] = [];
  // A refusal of one part does not write the rows of another part again.
  const parts = split(distinct(messages), Infinity, BYTES_PER_INSERT, ({ payload }) => payload.length);
  for (const part of parts) refusals.push(...(await saveOrBisect(part, (batch) => insert(db, batch))));
  return refusals;
}

function insert(db: Client, messages: readonly Message[]): Promise<void> {
  const storedAt = tick();
  return db.insert(
    'mqtt_msg',
    messages.map((message) => messageRow(message, storedAt)),
  );
}
