import type { MessageQuery } from '../../../src/stores/store';
import { asTopic, HOSTILE } from '../../support/hostile';
import { message, newId } from '../../support/messages';
import { uniqueTopic, type Subject } from '../conformance';
import { noise } from './content';

/** listRefs: what listMessages lists, by id and time only. */
export function refs(subject: Subject): void {
  const query = (topic: string, fields: Partial<MessageQuery> = {}): MessageQuery => ({
    topic,
    after: '',
    limit: 1_000,
    now: Date.now(),
    ...fields,
  });
  const both = async (asked: MessageQuery) => {
    const [messages, refs] = [await subject.store.listMessages(asked), await subject.store.listRefs(asked)];
    expect(refs).toEqual(messages.map(({ id, publishReceivedAt }) => ({ id, publishReceivedAt })));
    return refs.map(({ id }) => id);
  };

  describe('messages listed by id and time only', () => {
    it('are sorted by ascending id, in pages, with the time of each', async () => {
      const topic = uniqueTopic();
      const all = Array.from({ length: 25 }, (_, i) => message({ topic, publishReceivedAt: 1_700_000_000_000 + i }));
      await subject.store.saveMessages([...all].reverse());
      const ids = all.map(({ id }) => id);
      expect(await subject.store.listRefs(query(topic))).toEqual(all.map(({ id, publishReceivedAt }) => ({ id, publishReceivedAt })));
      expect(await both(query(topic, { limit: 10 }))).toEqual(ids.slice(0, 10));
      expect(await both(query(topic, { after: ids[9]!, limit: 10 }))).toEqual(ids.slice(10, 20));
      expect(await both(query(topic, { after: ids[19]!, limit: 10 }))).toEqual(ids.slice(20));
      expect(await both(query(topic, { after: ids[24]! }))).toEqual([]);
      expect(await both(query(`${topic}/absent`))).toEqual([]);
    });

    it('exclude expired and removed messages', async () => {
      const topic = uniqueTopic();
      const now = Date.now();
      const expired = Array.from({ length: 5 }, () => message({ topic, expiresAt: now - 1 }));
      const [later, removed, kept] = [message({ topic, expiresAt: now + 60_000 }), message({ topic }), message({ topic })];
      await subject.store.saveMessages([...expired, later, removed, kept]);
      await subject.store.removeMessages([removed], now + 60_000);
      // Fewer than there are expired ones: they take nobody's place.
      expect(await both(query(topic, { now, limit: 1 }))).toEqual([later.id]);
      expect(await both(query(topic, { now }))).toEqual([later.id, kept.id]);
      expect(await both(query(topic, { now: now + 60_000 }))).toEqual([kept.id]);
    });

    it('belong to the requested topic only, whatever its name', async () => {
      const base = uniqueTopic();
      const long = noise('t', 65_000 - base.length);
      const topics = [...new Set(HOSTILE.map(asTopic)), '😀', '\uffee', long, `${long.slice(0, -1)}!`].map((text) => `${base}/${text}`);
      const messages = topics.map((topic) => message({ topic, payload: Buffer.from([0, 255]) }));
      await subject.store.saveMessages(messages);
      for (const { topic, id } of messages) expect(await both(query(topic))).toEqual([id]);
      for (const text of HOSTILE) expect(await both(query(base, { after: text }))).toEqual([]);
    });

    it('with ids of other formats are sorted by code point', async () => {
      const topic = uniqueTopic();
      const ids = ['a', 'A', 'B-1', '~', newId(), `'; --`, 'with blank ', '%', '{"$gt":""}'].map(
        (text) => `${text}${process.pid}${Date.now()}`,
      );
      await subject.store.saveMessages(ids.map((id) => message({ topic, id })));
      const sorted = [...ids].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      expect(await both(query(topic))).toEqual(sorted);
      expect(await both(query(topic, { after: sorted[3]!, limit: 3 }))).toEqual(sorted.slice(4, 7));
    });
  });
}
