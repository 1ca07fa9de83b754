import { RetryableError } from '../../src/base/errors';
import { Writer } from '../../src/writes/writer';
import { createMetrics } from '../../src/base/metrics';
import { toWire } from '../../src/mqtt/message';
import type { MessageEvent } from '../../src/lanes/jobs';
import { message } from '../support/messages';

const publish = (id: string): MessageEvent => ({ kind: 'publish', message: toWire(message({ topic: 't', id })) });
const ack = (id: string): MessageEvent => ({ kind: 'ack', id, topic: 't', clientid: 'c' });

function subject(refuse: (id: string) => 'refuse' | 'bug' | 'away' | null = () => null) {
  const calls: string[] = [];
  const takenOver: boolean[] = [];
  const history: string[] = [];
  const writer = new Writer({
    acks: { settled: async (acks) => void (acks.length > 0 && calls.push(`settle ${acks.map(({ id }) => id).join()}`)) },
    store: {
      saveMessages: async (messages) => {
        for (const { id } of messages) {
          if (refuse(id) === 'bug') throw new TypeError(`bug in ${id}`);
          if (refuse(id) === 'away') throw new RetryableError('away');
        }
        calls.push(`save ${messages.map(({ id }) => id).join()}`);
        return messages.filter(({ id }) => refuse(id) === 'refuse').map(({ id }) => ({ id, reason: 'poison' }));
      },
      removeMessages: async (refs) => {
        calls.push(`remove ${refs.map(({ id }) => id).join()}`);
        return refs.length;
      },
    },
    lanes: {
      history: async (messages) => void history.push(...messages.map(({ id }) => id)),
    },
    retained: { note: async () => undefined },
    keeper: { apply: async (messages) => void (messages.length > 0 && calls.push(`retain ${messages.map(({ id }) => id).join()}`)) },
    trimmer: { saved: async () => undefined } as never,
    lateWrites: {
      around: (_messages, isTakenOver, save) => {
        takenOver.push(isTakenOver);
        return save();
      },
    },
    metrics: createMetrics(),
    setAside: async ({ id }, reason) => void calls.push(`aside ${id}: ${reason}`),
    now: () => 0,
  });
  return { writer, calls, takenOver, history };
}

describe('the writer', () => {
  it('stores retained messages in addition to the others, or alone', async () => {
    const { writer, calls } = subject();
    await writer.apply([
      publish('a'),
      { ...publish('b'), retained: 'too' } as MessageEvent,
      { ...publish('c'), retained: 'only' } as MessageEvent,
    ]);
    expect(calls).toEqual(['retain b,c', 'save a,b']);
  });

  // The guard is `turn`. A lane that is behind has two batches at work.
  it('stores batches in order, and continues after one that fails', async () => {
    const { writer, calls } = subject((id) => (id === 'bad' ? 'away' : null));
    const { retained } = (writer as unknown as { deps: { retained: { note: () => Promise<void> } } }).deps;
    let isFirst = true;
    retained.note = async () => {
      const waits = isFirst;
      isFirst = false;
      if (waits) await new Promise((resolve) => setTimeout(resolve, 20));
    };
    await Promise.all([writer.apply([publish('a')]), writer.apply([publish('b')])]);
    expect(calls).toEqual(['save a', 'save b']);
    const outcomes = await Promise.allSettled([writer.apply([publish('bad')]), writer.apply([publish('c')])]);
    expect([outcomes.map(({ status }) => status), calls]).toEqual([
      ['rejected', 'fulfilled'],
      ['save a', 'save b', 'save c'],
    ]);
  });

  // The guard is that a turn ends after the turn before it. Without it `c` is stored while the save of `a` is under way.
  it('lets no batch pass an earlier one because a batch between them failed', async () => {
    const { writer, calls } = subject();
    const { store, retained } = (writer as unknown as { deps: { store: { saveMessages: unknown }; retained: { note: unknown } } }).deps;
    let save = (): void => undefined;
    const { saveMessages } = store as { saveMessages: (messages: readonly { id: string }[]) => Promise<unknown> };
    store.saveMessages = async (messages: readonly { id: string }[]) => {
      if (messages[0]?.id === 'a') await new Promise<void>((resolve) => (save = resolve));
      return saveMessages(messages);
    };
    retained.note = async ([first]: readonly { id: string }[]) => {
      if (first?.id === 'b') throw new RetryableError('the queue is away');
    };
    const first = writer.apply([publish('a')]);
    await expect(writer.apply([publish('b')])).rejects.toThrow('the queue is away');
    const last = writer.apply([publish('c')]);
    await new Promise(setImmediate);
    save();
    await Promise.all([first, last]);
    expect(calls).toEqual(['save a', 'save c']);
  });

  it('writes a batch with one save and one remove, and then settles acknowledgements', async () => {
    const { writer, calls } = subject();
    await writer.apply([publish('a'), ack('a'), publish('b'), ack('x')]);
    expect(calls).toEqual(['save a,b', 'remove a,x', 'settle a,x']);
  });

  it('makes no save or remove without messages or acknowledgements', async () => {
    const { writer, calls, takenOver } = subject();
    await writer.apply([ack('x')]);
    expect([calls, takenOver]).toEqual([['remove x', 'settle x'], []]);
    await writer.apply([publish('a')]);
    expect(calls.slice(2)).toEqual(['save a']);
  });

  // Promise 17: what a process that died has stored is told once more to those who may have passed it.
  it('marks a batch of a dead process as possibly stored', async () => {
    const { writer, takenOver } = subject();
    await writer.apply([publish('a')]);
    await writer.apply([publish('a')], true);
    expect(takenOver).toEqual([false, true]);
  });

  it.each([
    ['away', RetryableError],
    ['bug', TypeError],
  ] as const)('removes and settles nothing when its save fails (%s)', async (why, error) => {
    const { writer, calls } = subject((id) => (id === 'b' ? why : null));
    await expect(writer.apply([publish('a'), publish('b'), ack('x')])).rejects.toThrow(error);
    expect(calls).toEqual([]);
  });

  it('sets messages aside that the store rejects (promise 13)', async () => {
    const { writer, calls, history } = subject((id) => (id === 'b' ? 'refuse' : null));
    await writer.apply([publish('a'), publish('b')]);
    expect(calls).toEqual(['save a,b', 'aside b: the store refused it: poison']);
    // Only what is stored becomes history.
    expect(history).toEqual(['a']);
  });
});
