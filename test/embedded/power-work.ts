import type { Environment } from '../../src/embedded/environment';
import { numberKey, readNumber } from '../../src/embedded/keys';
import type { Table } from '../../src/embedded/table';

const LAST = Buffer.from('last');
/** Steps that an entry is kept, if it isn't for ever. */
const KEPT = 40;

/** Numbered changes of an environment, each in a transaction with others. What it has after a step is known, so that it can be told from any mixture. */
export class Work {
  private readonly entries: Table;
  private readonly state: Table;

  constructor(environment: Environment) {
    this.entries = environment.table('entries');
    this.state = environment.table('state');
  }

  /** The step that was made last. 0: none */
  get last(): number {
    const last = this.state.get(LAST);
    return last === undefined ? 0 : readNumber(last);
  }

  /** Inside a transaction: steps are made from 1 on, in order. */
  step(n: number): void {
    this.entries.put(numberKey(n), valueOf(n));
    if (!isKept(n - KEPT)) this.entries.remove(numberKey(n - KEPT));
    this.state.put(LAST, numberKey(n));
  }

  /** What differs from the outcome of the steps up to `last`; empty: nothing. */
  differences(): string[] {
    const { last } = this;
    const wanted = Array.from({ length: last }, (_, i) => i + 1).filter((n) => n > last - KEPT || isKept(n));
    const found = [...this.entries.entries()].map(({ key, value }) => ({ n: readNumber(key), value }));
    const there = new Set(found.map(({ n }) => n));
    return [
      ...wanted.filter((n) => !there.has(n)).map((n) => `entry ${n} of ${last} is missing`),
      ...[...there].filter((n) => !wanted.includes(n)).map((n) => `entry ${n} of ${last} should not be there`),
      ...found.filter(({ n, value }) => !value.equals(valueOf(n))).map(({ n }) => `entry ${n} has another value`),
      ...(this.entries.count === found.length ? [] : [`counts ${this.entries.count} entries, has ${found.length}`]),
    ];
  }
}

/** Negative numbers have no entry to remove. */
function isKept(n: number): boolean {
  return n <= 0 || n % 8 === 0;
}

const values = new Map<number, Buffer>();

/** 1 KB or 100 KB; no two pages of all values are equal. */
function valueOf(n: number): Buffer {
  let value = values.get(n);
  if (value === undefined) {
    const words = new Uint32Array(n % 10 === 0 ? 25_000 : 250);
    for (let i = 0; i < words.length; i++) words[i] = Math.imul(n, 0x9e3779b1) ^ Math.imul(i + 1, 0x85ebca6b);
    values.set(n, (value = Buffer.from(words.buffer)));
  }
  return value;
}
