import { NUMBER_BYTES, numberKey, readNumber } from '../embedded/keys';

/**
 * What has happened to a job so far. It is stored at the job's current place, so that the job's data is written only
 * once.
 */
export interface Course {
  /** Twice the queue's counter at the time when the job was added, plus 1 if the job has an id of its own. */
  readonly number: number;
  /** The id that the job was given; null if its id is the counter. */
  readonly ownId: string | null;
  readonly attemptsStarted: number;
  readonly attemptsMade: number;
  readonly stalledCounter: number;
  /** In ms; 0 if never. */
  readonly processedOn: number;
  readonly more: More;
}

/** Values that few jobs have. Texts are JSON as BullMQ passes it. */
export interface More {
  readonly delay?: number;
  readonly progress?: string;
  readonly processedBy?: string;
  readonly deferredFailure?: string;
  readonly failedReason?: string;
  readonly stacktrace?: string;
  readonly returnvalue?: string;
  readonly finishedOn?: number;
}

const NOTHING: More = {};
const LENGTH_BYTES = 4;
const COUNTS_BYTES = 12 + NUMBER_BYTES;

export function newCourse(counter: number, ownId: string | null, more: More = NOTHING): Course {
  return {
    number: 2 * counter + (ownId === null ? 0 : 1),
    ownId,
    attemptsStarted: 0,
    attemptsMade: 0,
    stalledCounter: 0,
    processedOn: 0,
    more,
  };
}

export function idOf({ number, ownId }: Course): string {
  return ownId ?? String(number / 2);
}

export function withMore(course: Course, more: More): Course {
  return { ...course, more: { ...course.more, ...more } };
}

export function withoutMore(course: Course, ...names: readonly (keyof More)[]): Course {
  const left = Object.entries(course.more).filter(([name]) => !names.includes(name as keyof More));
  return { ...course, more: left.length === 0 ? NOTHING : Object.fromEntries(left) };
}

export function encodeCourse(course: Course): Buffer {
  const parts = [numberKey(course.number)];
  if (course.ownId !== null) {
    const id = Buffer.from(course.ownId);
    const length = Buffer.allocUnsafe(LENGTH_BYTES);
    length.writeUInt32BE(id.length);
    parts.push(length, id);
  }
  const more = course.more === NOTHING ? '' : JSON.stringify(course.more);
  if (course.attemptsStarted > 0 || course.attemptsMade > 0 || more !== '') {
    const counts = Buffer.allocUnsafe(COUNTS_BYTES);
    counts.writeUInt32BE(course.attemptsStarted, 0);
    counts.writeUInt32BE(course.attemptsMade, 4);
    counts.writeUInt32BE(course.stalledCounter, 8);
    counts.writeUIntBE(course.processedOn, 12, NUMBER_BYTES);
    parts.push(counts);
    if (more !== '') parts.push(Buffer.from(more));
  }
  return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
}

export function decodeCourse(bytes: Buffer, start = 0): Course {
  const number = readNumber(bytes, start);
  let [at, ownId] = [start + NUMBER_BYTES, null as string | null];
  if (number % 2 === 1) {
    const length = bytes.readUInt32BE(at);
    ownId = bytes.toString('utf8', at + LENGTH_BYTES, at + LENGTH_BYTES + length);
    at += LENGTH_BYTES + length;
  }
  if (at === bytes.length) return { number, ownId, attemptsStarted: 0, attemptsMade: 0, stalledCounter: 0, processedOn: 0, more: NOTHING };
  return {
    number,
    ownId,
    attemptsStarted: bytes.readUInt32BE(at),
    attemptsMade: bytes.readUInt32BE(at + 4),
    stalledCounter: bytes.readUInt32BE(at + 8),
    processedOn: readNumber(bytes, at + 12),
    more: at + COUNTS_BYTES === bytes.length ? NOTHING : (JSON.parse(bytes.toString('utf8', at + COUNTS_BYTES)) as More),
  };
}
