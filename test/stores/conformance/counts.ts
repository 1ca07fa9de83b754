import type { Message } from '../../../src/mqtt/message';
import { MOST_COUNTED } from '../../../src/stores/store';
import { asTopic, HOSTILE } from '../../support/hostile';
import { message, newId } from '../../support/messages';
import { uniqueTopic, type Subject } from '../conformance';
import { noise } from './content';

/** topicCounts and oldestMessageAt: how big and how old the backlog is. */
export function counts(subject: Subject): void {
  const countsOf = async (topics: readonly string[], now = Date.now()) => Object.fromEntries(await subject.store.topicCounts(topics, now));
  const save = async (...messages: readonly Message[]) => {
    expect(await subject.store.saveMessages(messages)).toEqual([]);
  };

  describe('the backlog', () => {
    it('of several topics is counted with the time of the oldest message', async () => {
      const [a, b, none] = [uniqueTopic(), uniqueTopic(), uniqueTopic()];
      const ids = [newId(), newId(), newId()];
      await save(
        message({ topic: a, id: ids[1]!, publishReceivedAt: 1_700_000_000_002 }),
        message({ topic: a, id: ids[0]!, publishReceivedAt: 1_700_000_000_001 }),
        message({ topic: b, id: ids[2]!, publishReceivedAt: 1_700_000_000_003, expiresAt: Date.now() + 60_000 }),
      );
      expect(await countsOf([a, none, b])).toEqual({
        [a]: { messages: 2, oldestAt: 1_700_000_000_001 },
        [none]: { messages: 0, oldestAt: null },
        [b]: { messages: 1, oldestAt: 1_700_000_000_003 },
      });
      expect(await countsOf([])).toEqual({});
      expect(await countsOf([b, b])).toEqual({ [b]: { messages: 1, oldestAt: 1_700_000_000_003 } });
    });

    it('of a topic excludes removed messages', async () => {
      const topic = uniqueTopic();
      const [first, second] = [
        message({ topic, publishReceivedAt: 1_700_000_000_001 }),
        message({ topic, publishReceivedAt: 1_700_000_000_002 }),
      ];
      await save(first, second);
      await subject.store.removeMessages([first], Date.now() + 60_000);
      expect(await countsOf([topic])).toEqual({ [topic]: { messages: 1, oldestAt: 1_700_000_000_002 } });
      await subject.store.removeMessages([second], Date.now() + 60_000);
      expect(await countsOf([topic])).toEqual({ [topic]: { messages: 0, oldestAt: null } });
    });

    it('of a topic has the age of its oldest message that has not expired', async () => {
      const topic = uniqueTopic();
      const now = Date.now();
      const expired = Array.from({ length: 3 }, () => message({ topic, publishReceivedAt: 1_000, expiresAt: now + 1_000 }));
      const living = message({ topic, publishReceivedAt: 1_700_000_000_001, expiresAt: now + 60_000 });
      await save(...expired, living);
      expect((await countsOf([topic], now + 2_000))[topic]).toEqual({
        messages: expect.any(Number) as number,
        oldestAt: 1_700_000_000_001,
      });
      expect((await countsOf([topic], now + 60_000))[topic]?.oldestAt).toBeNull();
      await subject.store.removeMessages([...expired, living], now + 60_000);
    });

    it('of topics with similar or hostile names is counted separately', async () => {
      const base = uniqueTopic();
      const long = noise('t', 65_000 - base.length);
      const topics = [...new Set(HOSTILE.map(asTopic)), '😀', long, `${long.slice(0, -1)}!`].map((text) => `${base}/${text}`);
      await save(...topics.map((topic, i) => message({ topic, publishReceivedAt: 1_700_000_000_000 + i })));
      expect(await countsOf(topics)).toEqual(
        Object.fromEntries(topics.map((topic, i) => [topic, { messages: 1, oldestAt: 1_700_000_000_000 + i }])),
      );
      for (const text of HOSTILE)
        expect(Object.values(await countsOf([`${base}/absent/${asTopic(text)}`]))).toEqual([{ messages: 0, oldestAt: null }]);
    });

    it('of 150 topics is counted in one call', async () => {
      const base = uniqueTopic();
      const topics = Array.from({ length: 150 }, (_, i) => `${base}/${i}`);
      await save(...topics.flatMap((topic) => [message({ topic }), message({ topic })]));
      const found = await subject.store.topicCounts(topics, Date.now());
      expect([...found.values()].map(({ messages }) => messages)).toEqual(topics.map(() => 2));
    });

    it('has the age of the oldest stored message', async () => {
      const now = Date.now();
      // The smallest of EMQX's ids.
      const oldest = message({
        topic: uniqueTopic(),
        id: newId().replace(/^.{16}/, '0000000000000001'),
        publishReceivedAt: 1_000_000,
        expiresAt: now + 3_600_000,
      });
      await save(message({ topic: uniqueTopic(), expiresAt: now + 3_600_000 }), oldest);
      expect(await eventually((at) => at === 1_000_000)).toBe(1_000_000);
      await subject.store.removeMessages([oldest], now + 60_000);
      expect(await eventually((at) => at !== 1_000_000)).toBeGreaterThan(1_000_000);
    });
  });

  /** A store that finds messages by their topics alone looks at some more with each call. */
  const eventually = async (holds: (at: number | null) => boolean): Promise<number | null> => {
    for (let tries = 0; ; tries++) {
      const at = await subject.store.oldestMessageAt(Date.now());
      if (holds(at) || tries >= 50) return at;
    }
  };

  it(`the backlog of one topic is counted up to at least ${MOST_COUNTED} messages`, async () => {
    const topic = uniqueTopic();
    const count = Math.min(subject.harness.many, 2_000);
    for (let left = count; left > 0; left -= 250) await save(...Array.from({ length: Math.min(left, 250) }, () => message({ topic })));
    expect((await countsOf([topic]))[topic]?.messages).toBe(count);
    await subject.store.trimTopic(topic, 0);
    expect((await countsOf([topic]))[topic]).toEqual({ messages: 0, oldestAt: null });
  });
}
