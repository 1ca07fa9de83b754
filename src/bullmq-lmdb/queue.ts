import { keyOf, NUMBER_BYTES, numberKey, readNumber } from '../embedded/keys';
import type { SortedMap } from '../embedded/table';
import type { Course } from './course';
import type { Database } from './database';
import { decodeHead, encodeHead, newHead, type Head } from './head';
import { Places, type Placed } from './places';
import { Signal } from './signal';

/** The key of the number of the newest queue. It sorts before all names. */
const LAST_QUEUE = Buffer.from([0]);
const [HEAD, META] = [1, 2];
const QUEUE_BYTES = 4;

/** The tables of all queues. */
export class Tables {
  readonly queues: SortedMap;
  /** What each job was added with, by the queue and the job's number. */
  readonly jobs: SortedMap;
  readonly places: Places;
  /** The number of each job with an id of its own, by the queue and the id. */
  readonly ids: SortedMap;
  private readonly opened = new Map<string, StoredQueue>();

  constructor(readonly database: Database) {
    this.queues = database.table('bullmq-queues');
    this.jobs = database.table('bullmq-jobs');
    this.places = new Places(database.table('bullmq-places'));
    this.ids = database.longTable('bullmq-ids');
  }

  /** Returns one object per queue name. */
  queue(name: string): StoredQueue {
    let queue = this.opened.get(name);
    if (queue === undefined) this.opened.set(name, (queue = new StoredQueue(this, name)));
    return queue;
  }

  /** The names of all stored queues. */
  names(): string[] {
    const entries = this.queues.entries({ from: Buffer.from([HEAD]), to: Buffer.from([HEAD + 1]) });
    return [...entries].map(({ key }) => key.toString('utf8', 1, key.length - 1));
  }

  nextQueue(): number {
    const last = this.queues.get(LAST_QUEUE);
    const number = last === undefined ? 1 : readNumber(last) + 1;
    this.queues.put(LAST_QUEUE, numberKey(number));
    return number;
  }
}

export class StoredQueue {
  readonly signal = new Signal();
  private readonly headKey: Buffer;
  private readonly metaKey: Buffer;
  private nextStalledCheck = 0;

  constructor(
    private readonly tables: Tables,
    readonly name: string,
  ) {
    this.headKey = keyOf(Buffer.from([HEAD]), name);
    this.metaKey = keyOf(Buffer.from([META]), name);
  }

  get places(): Places {
    return this.tables.places;
  }

  head(): Head {
    const bytes = this.tables.queues.get(this.headKey);
    return bytes === undefined ? newHead(0) : decodeHead(bytes);
  }

  write<T>(work: (head: Head) => T): Promise<T> {
    return this.watched(this.tables.database.write(() => this.change(work)));
  }

  durably<T>(work: (head: Head) => T): Promise<T> {
    return this.watched(this.tables.database.durably(() => this.change(work)));
  }

  private async watched<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      this.signal.forget();
      throw error;
    }
  }

  private change<T>(work: (head: Head) => T): T {
    const before = this.tables.queues.get(this.headKey);
    const head = before === undefined ? newHead(this.tables.nextQueue()) : decodeHead(before);
    const result = work(head);
    const after = encodeHead(head);
    if (before === undefined || !before.equals(after)) this.tables.queues.put(this.headKey, after);
    this.signal.update(head, head.delayed > 0 ? this.places.firstTime(head, 'delayed') : undefined);
    return result;
  }

  /** Whether it is time to look for stalled jobs. If so, the next check is due after `interval` ms. */
  beginStalledCheck(now: number, interval: number): boolean {
    if (now < this.nextStalledCheck) return false;
    this.nextStalledCheck = now + interval;
    return true;
  }

  meta(): Record<string, string> {
    const bytes = this.tables.queues.get(this.metaKey);
    return bytes === undefined ? {} : (JSON.parse(bytes.toString()) as Record<string, string>);
  }

  saveMeta(head: Head, meta: Record<string, string>): void {
    this.tables.queues.put(this.metaKey, Buffer.from(JSON.stringify(meta)));
    head.paused = meta['paused'] !== undefined;
    head.concurrency = meta['concurrency'] === undefined ? null : Number(meta['concurrency']);
  }

  record(head: Head, number: number): Buffer | undefined {
    return this.tables.jobs.get(jobKey(head, number));
  }

  saveRecord(head: Head, { number, ownId }: Course, record: Buffer): void {
    this.tables.jobs.put(jobKey(head, number), record);
    if (ownId !== null) this.tables.ids.put(idKey(head, ownId), numberKey(number));
  }

  replaceRecord(head: Head, { number }: Course, record: Buffer): void {
    this.tables.jobs.put(jobKey(head, number), record);
  }

  removeRecord(head: Head, { number, ownId }: Course): void {
    this.tables.jobs.remove(jobKey(head, number));
    if (ownId !== null) this.tables.ids.remove(idKey(head, ownId));
  }

  /** The number of the job with the id; undefined if there is no such job. */
  numberOf(head: Head, id: string): number | undefined {
    if (isCounter(id)) {
      const number = 2 * Number(id);
      return this.tables.jobs.has(jobKey(head, number)) ? number : undefined;
    }
    const number = this.tables.ids.get(idKey(head, id));
    return number && readNumber(number);
  }

  find(head: Head, id: string): Placed | undefined {
    const number = this.numberOf(head, id);
    return number === undefined ? undefined : this.places.find(head, number);
  }
}

/** Whether the id looks like a counter, which only jobs without an id of their own have. */
export function isCounter(id: string): boolean {
  return /^[1-9]\d{0,13}$/.test(id);
}

function jobKey({ queue }: Head, number: number): Buffer {
  const key = Buffer.allocUnsafe(QUEUE_BYTES + NUMBER_BYTES);
  key.writeUInt32BE(queue, 0);
  key.writeUIntBE(number, QUEUE_BYTES, NUMBER_BYTES);
  return key;
}

function idKey({ queue }: Head, id: string): Buffer {
  const key = Buffer.alloc(QUEUE_BYTES);
  key.writeUInt32BE(queue, 0);
  return Buffer.concat([key, Buffer.from(id)]);
}
