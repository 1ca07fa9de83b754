import type { Message } from '../../src/mqtt/message';

let sequence = 0;
let microseconds = BigInt(Date.now()) * 1000n;

/** An id like those of EMQX. Each call returns a greater one. */
export function newId(): string {
  microseconds += 7n;
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
