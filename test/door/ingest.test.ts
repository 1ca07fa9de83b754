import { OverloadedError, UnavailableError } from '../../src/base/errors';
import { Ingest } from '../../src/door/ingest';
import type { Policy } from '../../src/config/policies';
import { AcceptedAcks } from '../../src/mailbox/accepted-acks';
import { toWire } from '../../src/mqtt/message';
import { Signer } from '../../src/mailbox/signature';
import { Budget } from '../../src/lanes/batcher';
import { Lanes } from '../../src/lanes/lanes';
import type { QueueBackend } from '../../src/lanes/backend';
import { policy } from '../support/policies';
import { message } from '../support/messages';

const EVENT = { type: 'publish', message: toWire(message({ topic: 't' })), mark: null } as const;
const ACKS: Pick<AcceptedAcks, 'note'> = { note: async () => undefined };
const ingestInto = (lanes: Pick<Lanes, 'put'>, acks = ACKS, mode: Policy['mode'] = 'queue') => new Ingest(lanes, [policy({ mode })], new Signer('key'), acks);

// The guard is Batcher.look: one write of the queue may wait 10 s for another one before it fails.
test('a queue that does not answer is an error before EMQX gives up the request', async () => {
  jest.useFakeTimers();
  try {
    const backend = { laneCounts: { messages: 1, clients: 1 }, queue: (name: string) => ({ name, add: () => new Promise(() => undefined) }) } as unknown as QueueBackend;
    const ingest = ingestInto(new Lanes(backend, new Budget({ items: 10, bytes: 1e6 })));
    const failed = expect(ingest.accept([EVENT])).rejects.toThrow(UnavailableError);
    await jest.advanceTimersByTimeAsync(1_000);
    // It waits behind the first.
    const second = expect(ingest.accept([EVENT])).rejects.toThrow(UnavailableError);
    await jest.advanceTimersByTimeAsync(8_500);
    await failed;
    await jest.advanceTimersByTimeAsync(1_000);
    await second;
  } finally {
    jest.useRealTimers();
  }
});

// The guard is Budget.take for the whole request: 8,192 of 10,000 events were taken at each try, and EMQX sent all of them again.
test('of several events that find no room none is taken, and none is forgotten', async () => {
  const unheard: unknown[] = [];
  const listen = (error: unknown) => unheard.push(error);
  process.on('unhandledRejection', listen);
  const added: { data: { events: unknown[] } }[] = [];
  let release: () => void = () => undefined;
  const add = (_name: string, data: { events: unknown[] }) => new Promise<void>((resolve) => (added.push({ data }), (release = resolve)));
  const backend = { laneCounts: { messages: 1, clients: 1 }, queue: (name: string) => ({ name, add }) } as unknown as QueueBackend;
  const lanes = new Lanes(backend, new Budget({ items: 2, bytes: 1e6 }));
  const first = ingestInto(lanes).accept([EVENT, EVENT, EVENT]);
  await new Promise(setImmediate);
  await expect(ingestInto(lanes).accept([EVENT, EVENT])).rejects.toThrow(OverloadedError);
  release();
  await first;
  await ingestInto(lanes).accept([]);
  expect(added.map(({ data }) => data.events.length)).toEqual([3]);
  process.off('unhandledRejection', listen);
  expect(unheard).toEqual([]);
});

describe('an accepted acknowledgement', () => {
  const ACK = { type: 'acked', id: 'A', topic: 't', clientid: 'c', mark: null, at: 1 } as const;

  it.each([
    ['queue', null],
    ['pubsub', 'c'],
  ] as const)('is known before the event is answered, and its message is not sent any more (%s)', async (mode, reader) => {
    const acks = new AcceptedAcks(null);
    let put = false;
    await ingestInto({ put: async () => void (put = true) }, acks, mode).accept([ACK, EVENT]);
    expect(put).toBe(true);
    expect(acks.has('A', reader)).toBe(true);
    expect(acks.has(EVENT.message.id, reader)).toBe(false);
  });

  // Nothing would remove the message, and nobody would be sent it for as long as the acknowledgement is remembered. The guard is the order in Ingest.accept.
  it('is not remembered when the queue has not taken it', async () => {
    const acks = new AcceptedAcks(null);
    let isThere = false;
    const during: boolean[] = [];
    const lanes = {
      put: async () => {
        during.push(acks.has('A', null));
        if (!isThere) throw new UnavailableError('the queue is away');
      },
    };
    await expect(ingestInto(lanes, acks).accept([ACK])).rejects.toThrow(UnavailableError);
    expect(acks.has('A', null)).toBe(false);
    isThere = true;
    await ingestInto(lanes, acks).accept([ACK]);
    expect(acks.has('A', null)).toBe(true);
    expect(during).toEqual([false, false]);
  });

  it('is refused when the other processes can not be told', async () => {
    const acks = { note: () => Promise.reject(new UnavailableError('the queue’s database is away')) };
    await expect(ingestInto({ put: async () => undefined }, acks).accept([ACK])).rejects.toThrow(UnavailableError);
  });
});
