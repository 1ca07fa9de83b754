import { Trimmer } from '../../src/offline/write/trimmer';
import { createMetrics } from '../../src/ops/metrics';
import { policy } from '../support/policies';

describe('maxStored', () => {
  const trimmer = (maxStored: number) => {
    const trimmed: string[] = [];
    const trimTopic = async (topic: string, keep: number) => {
      trimmed.push(`${topic}:${keep}`);
      return 3;
    };
    const metrics = createMetrics();
    return { trimmed, metrics, trimmer: new Trimmer({ store: { trimTopic }, policies: [policy({ maxStored })], metrics }) };
  };

  it('is looked at after each tenth that was added', async () => {
    const { trimmer: subject, trimmed } = trimmer(50);
    await subject.saved(['a', 'a', 'b', 'a', 'a']);
    expect(trimmed).toEqual([]);
    await subject.saved(['a']);
    expect(trimmed).toEqual(['a:50']);
    await subject.saved(['a', 'a', 'a', 'a']);
    expect(trimmed).toEqual(['a:50']);
  });

  it('counts what it removes', async () => {
    const { trimmer: subject, metrics } = trimmer(5);
    await subject.saved(['a']);
    expect((await metrics.messagesRemoved.get()).values[0]?.value).toBe(3);
    expect((await metrics.messagesTrimmed.get()).values[0]?.value).toBe(3);
  });

  it('reaches topics that get few messages each, with bounded memory', async () => {
    const { trimmer: subject, trimmed } = trimmer(100_000);
    for (let i = 0; i < 10_003; i++) await subject.saved([`t/${i}`]);
    expect(trimmed).toEqual(['t/0:100000', 't/1:100000', 't/2:100000']);
  });
});
