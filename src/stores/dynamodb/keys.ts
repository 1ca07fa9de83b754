import { createHash } from 'node:crypto';

/** What every key attribute takes: a sort key has 1,024 bytes, a partition key 2,048. */
export const KEY_BYTES = 1_024;
const HASHED = 'sha256:';

/** Of a topic, in a sort key: the rest is left for the hash. */
const TOPIC_BYTES = 900;
const SHARDS = 16;

const sha256 = (value: string): Buffer => createHash('sha256').update(value).digest();

/** The text itself, readable, or its hash where a key can't have it: too long, or empty. Two texts never have the same key. */
export function keyText(value: string): string {
  return isPlainKey(value) ? value : HASHED + sha256(value).toString('hex');
}

/** False: the item needs the text in another attribute as well. */
export function isPlainKey(value: string): boolean {
  return value !== '' && !value.startsWith(HASHED) && Buffer.byteLength(value) <= KEY_BYTES;
}

/**
 * The order of topics as bytes (by code point, then): the topic, or of a longer one its first bytes, with a hash that tells it from
 * others with the same. Those come together, in any order; everything else is where it belongs. Cut anywhere, also within a character.
 */
export function topicSort(topic: string): Buffer {
  const whole = Buffer.from(topic);
  return whole.length <= TOPIC_BYTES ? whole : Buffer.concat([whole.subarray(0, TOPIC_BYTES), sha256(topic)]);
}

/** What longer topics with the same beginning have in common; null: the key is a whole topic. */
export function commonPart(key: Buffer): Buffer | null {
  return key.length > TOPIC_BYTES ? key.subarray(0, TOPIC_BYTES) : null;
}

/** Keys of topics that begin with `prefix` and are not before `after`. UTF-8 has no byte 0xff, and no key is empty. */
export function topicSortRange(prefix: string, after: string): [from: Buffer, to: Buffer] {
  const cut = Buffer.from(prefix).subarray(0, TOPIC_BYTES);
  const behind = Buffer.from(after).subarray(0, TOPIC_BYTES);
  const from = Buffer.compare(behind, cut) > 0 ? behind : cut;
  return [from.length > 0 ? from : Buffer.alloc(1), Buffer.concat([cut, Buffer.alloc(33, 0xff)])];
}

/** Spreads what would be one hot partition. */
export const SHARD_NAMES: readonly string[] = Array.from({ length: SHARDS }, (_, i) => i.toString(16));

export function shardOf(value: string): string {
  return SHARD_NAMES[bucketOf(value)] ?? '0';
}

export const BUCKETS = SHARDS;

export function bucketOf(value: string): number {
  return (sha256(value)[0] ?? 0) % SHARDS;
}
