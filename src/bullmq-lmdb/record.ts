import type { JobJson } from 'bullmq';
import { idOf, type Course } from './course';

const HEADER_BYTES = 8 + 4 + 4;

/** What a job was added with. Its data stays the text that BullMQ made of it. */
export function encodeRecord({ timestamp, name, opts, data }: Pick<JobJson, 'timestamp' | 'name' | 'opts' | 'data'>): Buffer {
  const options = JSON.stringify(opts);
  const [nameBytes, optionBytes] = [Buffer.byteLength(name), Buffer.byteLength(options)];
  const record = Buffer.allocUnsafe(HEADER_BYTES + nameBytes + optionBytes + Buffer.byteLength(data));
  record.writeDoubleBE(timestamp, 0);
  record.writeUInt32BE(nameBytes, 8);
  record.writeUInt32BE(optionBytes, 12);
  record.write(name, HEADER_BYTES);
  record.write(options, HEADER_BYTES + nameBytes);
  record.write(data, HEADER_BYTES + nameBytes + optionBytes);
  return record;
}

/** The record with other data. */
export function withData(record: Buffer, data: string): Buffer {
  return Buffer.concat([record.subarray(0, dataStart(record)), Buffer.from(data)]);
}

function dataStart(record: Buffer): number {
  return HEADER_BYTES + record.readUInt32BE(8) + record.readUInt32BE(12);
}

/** The job in BullMQ's form. */
export function jobOf(record: Buffer, course: Course): JobJson {
  const options = HEADER_BYTES + record.readUInt32BE(8);
  const { more } = course;
  return {
    id: idOf(course),
    name: record.toString('utf8', HEADER_BYTES, options),
    data: record.toString('utf8', dataStart(record)),
    opts: JSON.parse(record.toString('utf8', options, dataStart(record))) as JobJson['opts'],
    progress: JSON.parse(more.progress ?? '0') as JobJson['progress'],
    delay: more.delay ?? 0,
    priority: 0,
    timestamp: record.readDoubleBE(0),
    attemptsStarted: course.attemptsStarted,
    attemptsMade: course.attemptsMade,
    stalledCounter: course.stalledCounter,
    ...(course.processedOn > 0 && { processedOn: course.processedOn }),
    ...(more.finishedOn !== undefined && { finishedOn: more.finishedOn }),
    ...(more.processedBy !== undefined && { processedBy: more.processedBy }),
    ...(more.deferredFailure !== undefined && { deferredFailure: more.deferredFailure }),
    ...(more.stacktrace !== undefined && { stacktrace: more.stacktrace }),
    // BullMQ's type says that these fields always exist, but its Redis backend leaves them out.
    ...({ failedReason: more.failedReason, returnvalue: more.returnvalue } as Pick<JobJson, 'failedReason' | 'returnvalue'>),
  };
}
