import { NUMBER_BYTES, numberKey, readNumber } from '../embedded/keys';
import { prefixed, type Entry, type SortedMap } from '../embedded/table';
import { decodeCourse, encodeCourse, type Course } from './course';
import { decodeLock, encodeLock, type Lock } from './lock';
import type { Head } from './head';

/**
 * The kinds of places. A key consists of the queue's number, the kind, and a part that is unique among the places of
 * that kind.
 */
const PLACE = { waiting: 1, active: 2, delayed: 3, completed: 4, failed: 5, moved: 6 } as const;
export type State = Exclude<keyof typeof PLACE, 'moved'>;

const QUEUE_BYTES = 4;
const PREFIX_BYTES = QUEUE_BYTES + 1;
const RANK_BYTES = 4;
/**
 * The middle of the waiting jobs. After it are jobs in the order in which they were added, before it are jobs that were
 * pushed to the front.
 */
const MIDDLE = 2 ** 47;

/** Where a job is, and what has happened to it. */
export interface Placed {
  readonly state: State;
  readonly key: Buffer;
  readonly course: Course;
  readonly lock: Lock | null;
}

/**
 * The places of jobs. The place of an active job, and of a job that waits where it was added, follows from its number.
 * The place of any other job is stored under its number (`moved`).
 */
export class Places {
  constructor(private readonly table: SortedMap) {}

  /** Puts the job after all that wait. */
  append(head: Head, course: Course): void {
    const last = this.edge(head, 'waiting', true);
    const own = ownPlace(head, course.number);
    if (last === undefined || own.compare(last) > 0) return this.put(head, 'waiting', own, course);
    // The new place is after every job that was added so far, and before the next one that will be added.
    const major = MIDDLE + 2 * head.counter + 1;
    this.put(head, 'waiting', ranked(head, 'waiting', major, majorOf(last) === major ? rankOf(last) + 1 : 1), course);
  }

  /** Puts a job that was just added after all that wait. */
  appendNew(head: Head, course: Course): void {
    head.waiting++;
    this.table.put(ownPlace(head, course.number), encodeCourse(course));
  }

  /** Puts the job before all that wait. */
  prepend(head: Head, course: Course): void {
    const first = this.edge(head, 'waiting', false);
    const own = ownPlace(head, course.number);
    if (first === undefined || own.compare(first) < 0) return this.put(head, 'waiting', own, course);
    this.put(head, 'waiting', ranked(head, 'waiting', Math.min(MIDDLE, majorOf(first) - 1), 0), course);
  }

  /** Puts the job at its time (ms), after those of the same time. */
  putAt(head: Head, state: 'delayed' | 'completed' | 'failed', time: number, course: Course): void {
    let rank = 0;
    for (const { key } of this.entries(head, state, { from: time, to: time + 1, reverse: true, limit: 1 })) rank = rankOf(key) + 1;
    this.put(head, state, ranked(head, state, time, rank), course);
  }

  putActive(head: Head, course: Course, lock: Lock): void {
    head.active++;
    this.table.put(numbered(head, 'active', course.number), Buffer.concat([encodeLock(lock), encodeCourse(course)]));
  }

  private put(head: Head, state: Exclude<State, 'active'>, key: Buffer, course: Course): void {
    head[state]++;
    this.table.put(key, encodeCourse(course));
    if (!isMoved(key, course.number)) return;
    this.table.put(numbered(head, 'moved', course.number), key);
    if (state === 'waiting') head.moved++;
  }

  remove(head: Head, { state, key, course: { number } }: Placed): void {
    head[state]--;
    this.table.remove(key);
    if (state === 'active' || !isMoved(key, number)) return;
    this.table.remove(numbered(head, 'moved', number));
    if (state === 'waiting') head.moved--;
  }

  /** Stores what has happened to a job that stays at its place. */
  update({ key }: Placed, course: Course, lock: Lock | null): void {
    this.table.put(key, lock === null ? encodeCourse(course) : Buffer.concat([encodeLock(lock), encodeCourse(course)]));
  }

  find(head: Head, number: number): Placed | undefined {
    return (
      this.at(numbered(head, 'active', number)) ??
      this.at(ownPlace(head, number)) ??
      this.at(this.table.get(numbered(head, 'moved', number)))
    );
  }

  findActive(head: Head, number: number): Placed | undefined {
    return this.at(numbered(head, 'active', number));
  }

  private at(key: Buffer | undefined): Placed | undefined {
    const value = key === undefined ? undefined : this.table.get(key);
    return key === undefined || value === undefined ? undefined : placed({ key, value });
  }

  /**
   * All jobs of one state in order: waiting jobs from the next to the last one, timed ones from the earliest to the
   * latest, active ones by their numbers.
   */
  *all(head: Head, state: State, reverse = false): Iterable<Placed> {
    for (const entry of this.entries(head, state, { reverse })) yield placed(entry);
  }

  /** Up to `limit` jobs with a time before `to`. */
  *before(head: Head, state: State, to: number, limit: number): Iterable<Placed> {
    for (const entry of this.entries(head, state, { to, limit })) yield placed(entry);
  }

  first(head: Head, state: State): Placed | undefined {
    for (const entry of this.entries(head, state, { limit: 1 })) return placed(entry);
    return undefined;
  }

  /** The time of the first job (ms). */
  firstTime(head: Head, state: 'delayed'): number | undefined {
    const first = this.edge(head, state, false);
    return first && majorOf(first);
  }

  private edge(head: Head, state: State, reverse: boolean): Buffer | undefined {
    for (const { key } of this.entries(head, state, { reverse, limit: 1 })) return key;
    return undefined;
  }

  private entries(
    head: Head,
    state: State,
    { from, to, ...range }: { from?: number; to?: number; reverse?: boolean; limit?: number },
  ): Iterable<Entry> {
    const prefix = prefixOf(head, state);
    if (to === undefined) return prefixed(this.table, prefix, range);
    return this.table.entries({
      from: from === undefined ? prefix : Buffer.concat([prefix, numberKey(from)]),
      to: Buffer.concat([prefix, numberKey(to)]),
      ...range,
    });
  }
}

function placed({ key, value }: Entry): Placed {
  const state = STATES[key[QUEUE_BYTES] as number] as State;
  if (state !== 'active') return { state, key, course: decodeCourse(value), lock: null };
  const { lock, end } = decodeLock(value);
  return { state, key, course: decodeCourse(value, end), lock };
}

const STATES = Object.fromEntries(Object.entries(PLACE).map(([name, kind]) => [kind, name]));

function prefixOf({ queue }: Head, kind: keyof typeof PLACE): Buffer {
  return begin(queue, kind, 0);
}

function numbered({ queue }: Head, kind: 'active' | 'moved', number: number): Buffer {
  const key = begin(queue, kind, NUMBER_BYTES);
  key.writeUIntBE(number, PREFIX_BYTES, NUMBER_BYTES);
  return key;
}

function ranked({ queue }: Head, state: State, major: number, rank: number): Buffer {
  const key = begin(queue, state, NUMBER_BYTES + RANK_BYTES);
  key.writeUIntBE(major, PREFIX_BYTES, NUMBER_BYTES);
  key.writeUInt32BE(rank, PREFIX_BYTES + NUMBER_BYTES);
  return key;
}

function begin(queue: number, kind: keyof typeof PLACE, more: number): Buffer {
  const key = Buffer.allocUnsafe(PREFIX_BYTES + more);
  key.writeUInt32BE(queue, 0);
  key[QUEUE_BYTES] = PLACE[kind];
  return key;
}

/** The place of a job that waits where it was added. */
function ownPlace(head: Head, number: number): Buffer {
  return ranked(head, 'waiting', MIDDLE + number, 0);
}

/** Whether the place differs from the one where a job of this number waits when it is added. */
export function isMoved(key: Buffer, number: number): boolean {
  return key[QUEUE_BYTES] !== PLACE.waiting || majorOf(key) !== MIDDLE + number || rankOf(key) !== 0;
}

function majorOf(key: Buffer): number {
  return readNumber(key, PREFIX_BYTES);
}

function rankOf(key: Buffer): number {
  return key.readUInt32BE(PREFIX_BYTES + NUMBER_BYTES);
}
