import { NUMBER_BYTES, numberKey, readNumber } from './keys';
import type { Entry, Range, SortedMap } from './table';

/** LMDB takes keys of 1,978 bytes; short ones keep its pages full. */
const CHUNK_BYTES = 480;
/** The last byte of a place. What ends with a chunk comes before what goes on behind it. */
const [ENDS, GOES_ON, BEHIND] = [0, 1, 2];
/** Has the first chunks of all keys. */
const ROOT = 1;
/** Where the number of the node that was made last is kept: in front of all nodes. */
const LAST_NODE = Buffer.from([0]);

/**
 * A sorted map with keys of any length on one with short keys. A key is cut into chunks. The first chunk is kept in node ROOT; where a key goes on, its
 * chunk names the node that has the next ones. So two keys never meet, and all are in their order.
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
    // The links to nodes that are empty now go, too.
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

/** undefined: there is none. */
interface Bounds {
  readonly from: Buffer | undefined;
  readonly to: Buffer | undefined;
  readonly reverse: boolean;
}

/** Begins with the node's number. */
function placeOf(node: number, chunk: Buffer, kind: number): Buffer {
  const place = Buffer.allocUnsafe(NUMBER_BYTES + chunk.length + 1);
  place.writeUIntBE(node, 0, NUMBER_BYTES);
  chunk.copy(place, NUMBER_BYTES);
  place[place.length - 1] = kind;
  return place;
}

/** A bound of a range in the node; `kind`: of a bound that goes on in another node. */
function boundOf(node: number, bound: Buffer, kind: number): Buffer {
  return bound.length > CHUNK_BYTES ? placeOf(node, bound.subarray(0, CHUNK_BYTES), kind) : placeOf(node, bound, ENDS);
}

/** The bound in the node that a chunk leads to. */
function inside(bound: Buffer | undefined, chunk: Buffer): Buffer | undefined {
  if (bound === undefined || bound.length <= CHUNK_BYTES) return undefined;
  return chunk.equals(bound.subarray(0, CHUNK_BYTES)) ? bound.subarray(CHUNK_BYTES) : undefined;
}
