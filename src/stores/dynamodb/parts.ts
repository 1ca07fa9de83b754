import { RetryableError } from '../../base/errors';
import type { Write } from './batches';
import type { Client } from './client';
import { bytes, bytesOf, number, text, type Item } from './values';

const TABLE = 'mqtt_msg_part';
const PART_BYTES = 350_000;

export const partsOf = (payload: Buffer): number => Math.ceil(payload.length / PART_BYTES);

/** Retained messages have parts of their own, because the stored message of the same id may be removed earlier. */
export const retainedOwner = (id: string): string => `retained/${id}`;

export function partWrites(owner: string, payload: Buffer | null): Write[] {
  if (payload === null) return [];
  return Array.from({ length: partsOf(payload) }, (_, n) => ({
    table: TABLE,
    put: { ...keyOf(owner, n), data: bytes(payload.subarray(n * PART_BYTES, (n + 1) * PART_BYTES)) },
  }));
}

export function partRemovals(owner: string, count: number): Write[] {
  return Array.from({ length: count }, (_, n) => ({ table: TABLE, remove: keyOf(owner, n) }));
}

/**
 * The payload of an item that keeps it in parts. Parts are written before their item and deleted after it. If a part is
 * missing, the item was deleted or changed meanwhile, and the result is null.
 */
export async function readParts(client: Client, owner: string, count: number): Promise<Buffer | null> {
  const query = {
    KeyConditionExpression: '#o = :o',
    ExpressionAttributeNames: { '#o': 'owner' },
    ExpressionAttributeValues: { ':o': text(owner) },
  };
  const found: Buffer[] = [];
  for await (const items of client.query(TABLE, query)) found.push(...items.map((item) => bytesOf(item['data']) ?? Buffer.alloc(0)));
  return found.length < count ? null : Buffer.concat(found.slice(0, count));
}

/**
 * The error for an item that still exists while its parts are missing. Only an outside change can cause that, so it
 * must not be ignored.
 */
export function incomplete(id: string): RetryableError {
  return new RetryableError(`message ${id} is incomplete: items of its payload are missing in ${TABLE}`);
}

function keyOf(owner: string, n: number): Item {
  return { owner: text(owner), n: number(n) };
}
