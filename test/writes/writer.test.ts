import { RetryableError } from '../../src/base/errors';
import { Writer } from '../../src/writes/writer';
import { createMetrics } from '../../src/base/metrics';
import { toWire } from '../../src/mqtt/message';
import type { MessageEvent, Progress } from '../../src/lanes/jobs';
import { message } from '../support/messages';

const publish = (id: string): MessageEvent => ({ kind: 'publish', message: toWire(message({ topic: 't', id })) });
const ack = (id: string, ours: boolean): MessageEvent => ({ kind: 'ack', id, topic: 't', clientid: 'c', ours });

function subject(refuse: (id: string) => 'refuse' | 'bug' | 'away' | null = () => null) {
  const calls: string[] = [];
  const progress: Progress[] = [];
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
      progress: async (acks) => void progress.push(...acks),
      history: async (messages) => void history.push(...messages.map(({ id }) => id)),
    },
    retained: { note: async () => undefined },
    keeper: { apply: async (messages) => void (messages.length > 0 && calls.push(`retain ${messages.map(({ id }) => id).join()}`)) },
    trimmer: { saved: async () => undefined } as never,
    lateWrites: { isPubsub: (topic) => topic.startsWith('pubsub/'), around: (_messages, _takenOver, save) => save() },
    metrics: createMetrics(),
    setAside: async ({ id }, reason) => void calls.push(`aside ${id}: ${reason}`),
    now: () => 0,
  });
  return { writer, calls, progress, history };
}

describe('the writer', () => {
  it('keeps retained messages beside the others, or alone', async () => {
    const { writer, calls } = subject();
    await writer.apply([publish('a'), { ...publish('b'), retained: 'too' } as MessageEvent, { ...publish('c'), retained: 'only' } as MessageEvent]);
    expect(calls).toEqual(['retain b,c', 'save a,b']);
  });

  it('writes a batch with one save and one remove, and moves windows for our own deliveries only', async () => {
    const { writer, calls, progress } = subject();
    await writer.apply([publish('a'), ack('a', false), publish('b'), ack('x', true)]);
    expect(calls).toEqual(['save a,b', 'remove a,x', 'settle a,x']);
    expect(progress).toEqual([{ clientid: 'c', id: 'x' }]);
  });

  it('leaves a message of a pubsub topic to others, whoever delivered it', async () => {
    const { writer, calls, progress } = subject();
    const of = (id: string, ours: boolean): MessageEvent => ({ kind: 'ack', id, topic: 'pubsub/1', clientid: 'c', ours });
    await writer.apply([of('a', false), of('b', true), ack('x', true)]);
    expect(calls).toEqual(['remove x', 'settle x']);
    expect(progress).toEqual([
      { clientid: 'c', id: 'a', topic: 'pubsub/1', ours: false },
      { clientid: 'c', id: 'b', topic: 'pubsub/1', ours: true },
      { clientid: 'c', id: 'x' },
    ]);
  });

  it('sets aside what the store refuses (promise 13)', async () => {
    const { writer, calls, history } = subject((id) => (id === 'b' ? 'refuse' : null));
    await writer.apply([publish('a'), publish('b')]);
    expect(calls).toEqual(['save a,b', 'aside b: the store refused it: poison']);
    // Only what is stored becomes history.
    expect(history).toEqual(['a']);
  });
});
