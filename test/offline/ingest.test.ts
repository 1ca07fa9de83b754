import { OverloadedError, UnavailableError } from '../../src/errors';
import { Ingest } from '../../src/offline/accept/ingest';
import { Signer } from '../../src/offline/signature';
import { Budget } from '../../src/queue/batcher';
import { Lanes } from '../../src/queue/lanes';
import type { QueueBackend } from '../../src/queue/backend';
import { toWire } from '../../src/queue/jobs';
import { policy } from '../support/policies';
import { message } from '../support/messages';

const EVENT = { type: 'publish', message: message({ topic: 't' }), mark: null } as const;
const ACKS = { note: async () => undefined };
const ingestInto = (lanes: Pick<Lanes, 'put'>) => new Ingest(lanes, [policy()], new Signer('key'), ACKS);

// The guard is the deadline in Ingest.accept: one write of the queue may wait 10 s for another one before it fails.
test('a queue that does not answer is an error before EMQX gives up the request', async () => {
  jest.useFakeTimers();
  try {
    const accepting = ingestInto({ put: () => new Promise(() => undefined) }).accept([EVENT]);
    const failed = expect(accepting).rejects.toThrow(UnavailableError);
    await jest.advanceTimersByTimeAsync(9_500);
    await failed;
  } finally {
    jest.useRealTimers();
  }
});

// The guard is Lanes.put being async: thrown at once, the refusal of the second would leave nobody to hear of the first.
test('of several events some of which find no room none is forgotten', async () => {
  const unheard: unknown[] = [];
  const listen = (error: unknown) => unheard.push(error);
  process.on('unhandledRejection', listen);
  const queue = { setGlobalConcurrency: async () => undefined, close: async () => undefined };
  const flows = { addBulk: () => Promise.reject(new Error('away')), close: async () => undefined };
  const backend = { laneCounts: { messages: 1, clients: 1 }, queue: () => queue, flows: () => flows } as unknown as QueueBackend;
  const lanes = new Lanes(backend, new Budget({ items: 1, bytes: 1e6 }));
  await expect(ingestInto(lanes).accept([EVENT, EVENT])).rejects.toThrow(OverloadedError);
  await new Promise((resolve) => setTimeout(resolve, 20));
  process.off('unhandledRejection', listen);
  expect(unheard).toEqual([]);
});

test('what an earlier process accepted is remembered', async () => {
  const noted: unknown[] = [];
  const ingest = new Ingest({ put: async () => undefined }, [policy({ filter: 'p/#', mode: 'pubsub' }), policy()], new Signer('key'), { note: async (...ack) => void noted.push(ack) });
  async function* waiting() {
    yield { kind: 'publish', message: toWire(message({ topic: 't' })) } as const;
    yield { kind: 'ack', id: 'A', topic: 't', clientid: 'c', ours: true } as const;
    yield { kind: 'ack', id: 'B', topic: 'p/1', clientid: 'c', ours: true } as const;
  }
  await ingest.remember(waiting());
  expect(noted).toEqual([['A', null], ['B', 'c']]);
});
