import { NUMBER_BYTES, numberKey, readNumber } from './keys';
import type { Entry, Range, SortedMap } from './table';

/** The size of a chunk. LMDB allows keys of 1,978 bytes, but short keys fill its pages better. */
const CHUNK_BYTES = 480;
/** The last byte of a place. A key that ends with a chunk sorts before keys that continue after this chunk. */
const [ENDS, GOES_ON, BEHIND] = [0, 1, 2];
/** The node with the first chunks of all keys. */
const ROOT = 1;
/** The key of the number of the newest node. It sorts before all nodes. */
const LAST_NODE = Buffer.from([0]);

/**
 * A sorted map with keys of any length, on top of a map with short keys. A key is cut into chunks. The first chunk is
 * in node ROOT. If the key continues, its chunk holds the number of the node with the next chunk. So different keys
 * have different places, and all keys are in order.
 */
export class LongTable implements SortedMap {
  constructor(private readonly table: SortedMap) {}

  get(key: Buffer): Buffer | undefined {
    const place = this.find(key);
    return place === null ? undefined : this.table.get(place);
  }

  has(key: Buffer): boolean {
    const place = this.find(key);
    return place !== null && this.table.has(place);
  }

  put(key: Buffer, value: Buffer): void {
    let [node, rest] = [ROOT, key];
    while (rest.length > CHUNK_BYTES) {
      const link = placeOf(node, rest.subarray(0, CHUNK_BYTES), GOES_ON);
      const next = this.table.get(link);
      node = next === undefined ? this.newNode(link) : readNumber(next);
      rest = rest.subarray(CHUNK_BYTES);
    }
    this.table.put(placeOf(node, rest, ENDS), value);
  }

  private newNode(link: Buffer): number {
    const last = this.table.get(LAST_NODE);
    const node = last === undefined ? ROOT + 1 : readNumber(last) + 1;
    this.table.put(LAST_NODE, numberKey(node));
    this.table.put(link, numberKey(node));
    return node;
  }

  remove(key: Buffer): void {
    const links: Buffer[] = [];
    let [node, rest] = [ROOT, key];
    while (rest.length > CHUNK_BYTES) {
      const link = placeOf(node, rest.subarray(0, CHUNK_BYTES), GOES_ON);
      const next = this.table.get(link);
      if (next === undefined) return;
      links.push(link);
      [node, rest] = [readNumber(next), rest.subarray(CHUNK_BYTES)];
    }
    this.table.remove(placeOf(node, rest, ENDS));
    // Links to nodes that are empty now are removed, too.
    for (const link of links.reverse()) {
      if (!this.isEmpty(node)) return;
      this.table.remove(link);
      node = readNumber(link);
    }
  }

  private isEmpty(node: number): boolean {
    for (const _ of this.table.entries({ from: numberKey(node), to: numberKey(node + 1), limit: 1 })) return false;
    return true;
  }

  *entries({ from, to, limit = Infinity, reverse = false }: Range = {}): Iterable<Entry> {
    let left = limit;
    if (left <= 0) return;
    for (const entry of this.ofNode(ROOT, Buffer.alloc(0), { from, to, reverse })) {
      yield entry;
      if (--left <= 0) return;
    }
  }

  private *ofNode(node: number, path: Buffer, { from, to, reverse }: Bounds): Iterable<Entry> {
    const start = from === undefined ? numberKey(node) : boundOf(node, from, GOES_ON);
    const end = to === undefined ? numberKey(node + 1) : boundOf(node, to, BEHIND);
    for (const { key, value } of this.table.entries({ from: start, to: end, reverse })) {
      const chunk = key.subarray(NUMBER_BYTES, key.length - 1);
      const whole = Buffer.concat([path, chunk]);
      if (key[key.length - 1] === ENDS) yield { key: whole, value };
      else yield* this.ofNode(readNumber(value), whole, { from: inside(from, chunk), to: inside(to, chunk), reverse });
    }
  }

  private find(key: Buffer): Buffer | null {
    let [node, rest] = [ROOT, key];
    while (rest.length > CHUNK_BYTES) {
      const next = this.table.get(placeOf(node, rest.subarray(0, CHUNK_BYTES), GOES_ON));
      if (next === undefined) return null;
      [node, rest] = [readNumber(next), rest.subarray(CHUNK_BYTES)];
    }
    return placeOf(node, rest, ENDS);
  }
}

/** `from` or `to` is undefined if the range has no such bound. */
interface Bounds {
  readonly from: Buffer | undefined;
  readonly to: Buffer | undefined;
  readonly reverse: boolean;
}

/** The short key of a chunk, which begins with the node's number. */
function placeOf(node: number, chunk: Buffer, kind: number): Buffer {
  const place = Buffer.allocUnsafe(NUMBER_BYTES + chunk.length + 1);
  place.writeUIntBE(node, 0, NUMBER_BYTES);
  chunk.copy(place, NUMBER_BYTES);
  place[place.length - 1] = kind;
  return place;
}

/** A bound of a range within the node. `kind` is used if the bound continues in another node. */
function boundOf(node: number, bound: Buffer, kind: number): Buffer {
  return bound.length > CHUNK_BYTES ? placeOf(node, bound.subarray(0, CHUNK_BYTES), kind) : placeOf(node, bound, ENDS);
}

/** The bound within the node that the chunk leads to. */
function inside(bound: Buffer | undefined, chunk: Buffer): Buffer | undefined {
  if (bound === undefined || bound.length <= CHUNK_BYTES) return undefined;
  return chunk.equals(bound.subarray(0, CHUNK_BYTES)) ? bound.subarray(CHUNK_BYTES) : undefined;
}
