import { setTimeout as sleep } from 'node:timers/promises';
import type { BatchWriteItemCommandInput, WriteRequest } from '@aws-sdk/client-dynamodb';
import { RetryableError } from '../../base/errors';
import { split } from '../../base/split';
import { projection, type Client } from './client';
import { pooled } from './pool';
import { sizeOf, type Item } from './values';

/**
 * DynamoDB's own limit of items in one request, and a size well below its limit of 16 MB, which includes the encoding.
 */
const WRITES = 25;
const WRITE_BYTES = 4 * 1_048_576;
const READS = 100;
/** Each read may return up to 16 MB, so only a few run in parallel. */
const READ_CONCURRENCY = 4;

const ATTEMPTS = 8;
const FIRST_WAIT_MS = 50;
const LONGEST_WAIT_MS = 2_000;

/** An item to put, or the key of one to delete. */
export type Write = { readonly table: string; readonly put: Item } | { readonly table: string; readonly remove: Item };

/** Puts and deletes all these items, in any order. No two writes may concern the same item. */
export async function writeAll(client: Client, writes: readonly Write[]): Promise<void> {
  await pooled(split(writes, WRITES, WRITE_BYTES, writeSize), async (chunk) => {
    let left: BatchWriteItemCommandInput['RequestItems'] = requestsOf(client, chunk);
    await repeat('write', async () => {
      const before = countOf(left);
      const { UnprocessedItems } = await client.call((db) => db.batchWriteItem({ RequestItems: left }));
      left = UnprocessedItems;
      return { left: countOf(left), before };
    });
  });
}

/** Replaces an item by one with another key, both at once. Changes nothing if the old item is not there. */
export function replaceItem(client: Client, table: string, key: Item, item: Item): Promise<void> {
  return repeat('write', async () => ({ left: (await client.replace(table, key, item)) === null ? 1 : 0, before: 1 }));
}

/** The items with these keys, in any order. Missing items are left out. No key may occur twice. */
export async function readAll(client: Client, table: string, keys: readonly Item[], attributes?: readonly string[]): Promise<Item[]> {
  const name = client.table(table);
  const pages = await pooled(
    split(keys, READS),
    async (chunk) => {
      const found: Item[] = [];
      let left: Item[] = chunk;
      await repeat('read', async () => {
        const before = left.length;
        const request = { Keys: left, ConsistentRead: true, ...projection(attributes) };
        const { Responses, UnprocessedKeys } = await client.call((db) => db.batchGetItem({ RequestItems: { [name]: request } }));
        found.push(...(Responses?.[name] ?? []));
        left = UnprocessedKeys?.[name]?.Keys ?? [];
        return { left: left.length, before };
      });
      return found;
    },
    READ_CONCURRENCY,
  );
  return pages.flat();
}

/**
 * Repeats a request for what DynamoDB has left over: at once if less is left than before (an answer was full),
 * otherwise after a pause (throttled).
 */
async function repeat(what: string, request: () => Promise<{ left: number; before: number }>): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS;) {
    const { left, before } = await request();
    if (left === 0) return;
    attempt = left < before ? 0 : attempt + 1;
    if (attempt > 0) await sleep(Math.random() * Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** attempt));
  }
  throw new RetryableError(`DynamoDB is too busy: it left a ${what} undone ${ATTEMPTS} times`);
}

/** A deletion sends only its key, which is small. */
function writeSize(write: Write): number {
  return 'put' in write ? sizeOf(write.put) : 0;
}

function requestsOf(client: Client, writes: readonly Write[]): Record<string, WriteRequest[]> {
  const requests: Record<string, WriteRequest[]> = {};
  for (const write of writes) {
    const request = 'put' in write ? { PutRequest: { Item: write.put } } : { DeleteRequest: { Key: write.remove } };
    (requests[client.table(write.table)] ??= []).push(request);
  }
  return requests;
}

function countOf(requests: Record<string, WriteRequest[]> | undefined): number {
  return Object.values(requests ?? {}).reduce((sum, { length }) => sum + length, 0);
}
