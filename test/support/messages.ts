import { createHash } from 'node:crypto';
import type { Message } from '../../src/mqtt/message';

let sequence = 0;
let microseconds = BigInt(Date.now()) * 1000n;

/** An id like those of EMQX, with the present time. Each call returns a greater one. */
export function newId(): string {
  const now = BigInt(Date.now()) * 1000n;
  microseconds = now > microseconds ? now : microseconds + 7n;
  sequence = (sequence + 1) % 0x10000;
  return (microseconds.toString(16).padStart(16, '0') + 'f49a0000049c' + sequence.toString(16).padStart(4, '0')).toUpperCase();
}

export function message(fields: Partial<Message> & Pick<Message, 'topic'>): Message {
  return {
    id: newId(),
    clientid: 'publisher',
    username: null,
    qos: 1,
    retain: false,
    payload: Buffer.from('hello'),
    publishReceivedAt: Date.now(),
    expiresAt: null,
    properties: {},
    ...fields,
  };
}

/** The message with the hash of its payload: jest compares buffers byte by byte, and takes seconds for each MB on a busy machine. */
export const hashed = (each: Message) => ({ ...each, payload: createHash('sha256').update(each.payload).digest('hex') });
