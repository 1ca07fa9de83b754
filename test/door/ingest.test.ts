import { createMetrics } from '../../src/base/metrics';
import { OverloadedError, UnavailableError } from '../../src/base/errors';
import { Ingest } from '../../src/door/ingest';
import type { Policy } from '../../src/config/policies';
import { EventLag } from '../../src/mailbox/event-lag';
import { AcceptedAcks } from '../../src/mailbox/accepted-acks';
import { toWire } from '../../src/mqtt/message';
import { Signer } from '../../src/mailbox/signature';
import { Budget } from '../../src/lanes/batcher';
import { Lanes } from '../../src/lanes/lanes';
import type { QueueBackend } from '../../src/lanes/backend';
import { MemoryState } from '../mailbox/simulation/state';
import { policy } from '../support/policies';
import { message } from '../support/messages';

const EVENT = { type: 'publish', message: toWire(message({ topic: 't' })), mark: null } as const;
const metrics = createMetrics();
const ACKS: Pick<AcceptedAcks, 'note' | 'forget'> = { note: async () => undefined, forget: async () => undefined };
const ingestInto = (lanes: Pick<Lanes, 'put'>, acks = ACKS, mode: Policy['mode'] = 'queue') =>
  new Ingest(lanes, [policy({ mode })], new Signer('key'), acks, new EventLag(), metrics);

// The guard is Batcher.look: one write of the queue may wait 10 s for another one before it fails.
test("accepting events fails before EMQX's timeout when the queue does not answer", async () => {
  jest.useFakeTimers();
  try {
    const backend = {
      laneCounts: { messages: 1, clients: 1 },
      queue: (name: string) => ({ name, add: () => new Promise(() => undefined) }),
    } as unknown as QueueBackend;
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
test('a request whose events exceed the budget is rejected as a whole', async () => {
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

// The guard is reasonNotStored: "accepted and nowhere to be found" must have a number that an operator can look at.
test('accepted events that are not stored are counted by their reason', async () => {
  const policies = [policy({ filter: 'off/#', mode: 'off' }), policy({ filter: 't/#', ttlMs: 60_000 })];
  const counting = createMetrics();
  const signer = new Signer('key');
  const publish = (fields: Parameters<typeof message>[0], signature = '') =>
    ({ type: 'publish', message: toWire(message(fields)), mark: signature === '' ? null : { id: 'M', signature } }) as const;
  const events = [
    ...[
      publish({ topic: 't/1' }),
      publish({ topic: 'u' }),
      publish({ topic: 'u/1' }),
      publish({ topic: 'off/1' }),
      publish({ topic: 't/1', qos: 0 }),
    ],
    ...[publish({ topic: 't/1', publishReceivedAt: Date.now() - 61_000 }), publish({ topic: '$offline/c/u' })],
    publish({ topic: 'u', clientid: 'http_api' }, signer.sign('M', 'u', { mailbox: 'c', kind: 'own' })),
    { type: 'acked', id: 'A', topic: 'u', clientid: 'c', mark: null, at: 1 } as const,
  ];
  const reasons = async () => (await counting.messagesNotStored.get()).values.map(({ labels, value }) => [labels.reason, value]);
  const into = (put: () => Promise<void>) => new Ingest({ put }, policies, signer, ACKS, new EventLag(), counting);
  await expect(into(() => Promise.reject(new UnavailableError('away'))).accept(events)).rejects.toThrow(UnavailableError);
  expect(await reasons()).toEqual([]);
  await into(async () => undefined).accept(events);
  expect(await reasons()).toEqual([
    ['no_policy', 2],
    ['mode_off', 1],
    ['qos0', 1],
    ['expired', 1],
  ]);
});

describe('an accepted acknowledgement', () => {
  const ACK = { type: 'acked', id: 'A', topic: 't', clientid: 'c', mark: null, at: 1 } as const;

  it.each([
    ['queue', null],
    ['pubsub', 'c'],
  ] as const)('is known before the event is answered (%s)', async (mode, reader) => {
    const acks = new AcceptedAcks(null);
    let put = false;
    await ingestInto({ put: async () => void (put = true) }, acks, mode).accept([ACK, EVENT]);
    expect(put).toBe(true);
    expect(acks.has('A', reader)).toBe(true);
    expect(acks.has(EVENT.message.id, reader)).toBe(false);
  });

  it('is known while the queue stores it, so that a running delivery skips the message', async () => {
    const acks = new AcceptedAcks(null);
    const during: boolean[] = [];
    await ingestInto(
      { put: async () => void during.push(await new Promise((resolve) => setImmediate(() => resolve(acks.has('A', null))))) },
      acks,
    ).accept([ACK]);
    expect(during).toEqual([true]);
  });

  // Nothing would remove the message, and nobody would be sent it for as long as the acknowledgement is remembered. The guard is forget in Ingest.accept.
  it.each([
    ['is down', new UnavailableError('the queue is away')],
    ['has no room', new OverloadedError('too many events')],
  ])('is forgotten in all processes when the queue %s', async (_, error) => {
    const state = new MemoryState(() => now);
    let now = 1;
    const [acks, others] = [new AcceptedAcks(state), new AcceptedAcks(state)];
    const known = async () => [acks.has('A', null), (await others.known([{ id: 'A', reader: null }]))('A', null)];
    let isThere = false;
    const lanes = {
      put: async () => {
        if (!isThere) throw error;
      },
    };
    await expect(ingestInto(lanes, acks).accept([ACK])).rejects.toBe(error);
    now += 5;
    expect(await known()).toEqual([false, false]);
    isThere = true;
    await ingestInto(lanes, acks).accept([ACK]);
    expect(await known()).toEqual([true, true]);
  });

  it('is rejected when the other processes cannot be informed', async () => {
    const acks = { ...ACKS, note: () => Promise.reject(new UnavailableError('the queue’s database is away')) };
    await expect(ingestInto({ put: async () => undefined }, acks).accept([ACK])).rejects.toThrow(UnavailableError);
  });

  // EMQX gives up after 10 s.
  it("is rejected before EMQX's timeout when the queue does not answer", async () => {
    jest.useFakeTimers();
    try {
      const silent = () => new Promise<never>(() => undefined);
      const backend = {
        laneCounts: { messages: 1, clients: 1 },
        queue: (name: string) => ({ name, add: silent }),
      } as unknown as QueueBackend;
      const acks = new AcceptedAcks({ setAll: silent, getAll: silent });
      const failed = expect(ingestInto(new Lanes(backend, new Budget({ items: 10, bytes: 1e6 })), acks).accept([ACK])).rejects.toThrow(
        UnavailableError,
      );
      await jest.advanceTimersByTimeAsync(9_800);
      await failed;
      expect(acks.has('A', null)).toBe(false);
    } finally {
      jest.useRealTimers();
    }
  });
});
