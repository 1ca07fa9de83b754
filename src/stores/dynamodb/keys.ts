import { createHash } from 'node:crypto';

/** The limit for all key attributes: a sort key may have 1,024 bytes, a partition key 2,048. */
export const KEY_BYTES = 1_024;
const HASHED = 'sha256:';

/** How many bytes of a topic are in a sort key. The rest is left for the hash. */
const TOPIC_BYTES = 900;
const SHARDS = 16;

const sha256 = (value: string): Buffer => createHash('sha256').update(value).digest();

/**
 * The text itself, so that it stays readable, or its hash if it can't be a key because it is too long or empty.
 * Different texts never have the same key.
 */
export function keyText(value: string): string {
  return isPlainKey(value) ? value : HASHED + sha256(value).toString('hex');
}

/** False if the item also needs the text in another attribute. */
export function isPlainKey(value: string): boolean {
  return value !== '' && !value.startsWith(HASHED) && Buffer.byteLength(value) <= KEY_BYTES;
}

/**
 * A key that sorts topics by bytes, and so by code point. The key of a long topic is its first bytes and a hash that
 * distinguishes topics with the same beginning. Those are next to each other in any order. The cut may be within a
 * character.
 */
export function topicSort(topic: string): Buffer {
  const whole = Buffer.from(topic);
  return whole.length <= TOPIC_BYTES ? whole : Buffer.concat([whole.subarray(0, TOPIC_BYTES), sha256(topic)]);
}

/** The common beginning of long topics; null if the key is a whole topic. */
export function commonPart(key: Buffer): Buffer | null {
  return key.length > TOPIC_BYTES ? key.subarray(0, TOPIC_BYTES) : null;
}

/**
 * The keys of topics that begin with `prefix` and are not before `after`. UTF-8 contains no byte 0xff, and no key is
 * empty.
 */
export function topicSortRange(prefix: string, after: string): [from: Buffer, to: Buffer] {
  const cut = Buffer.from(prefix).subarray(0, TOPIC_BYTES);
  const behind = Buffer.from(after).subarray(0, TOPIC_BYTES);
  const from = Buffer.compare(behind, cut) > 0 ? behind : cut;
  return [from.length > 0 ? from : Buffer.alloc(1), Buffer.concat([cut, Buffer.alloc(33, 0xff)])];
}

/** The shards spread what would otherwise be one busy partition. */
export const SHARD_NAMES: readonly string[] = Array.from({ length: SHARDS }, (_, i) => i.toString(16));

export function shardOf(value: string): string {
  return SHARD_NAMES[bucketOf(value)] ?? '0';
}

export const BUCKETS = SHARDS;

export function bucketOf(value: string): number {
  return (sha256(value)[0] ?? 0) % SHARDS;
}
