import { ClosedError } from '../../../src/errors';
import type { Message } from '../../../src/offline/message';
import { message, newId } from '../../support/messages';
import { uniqueTopic, type Subject } from '../conformance';

/** Saving, reading in order, removing, tombstones, expiry. */
export function messages(subject: Subject): void {
  const idsOf = async (topic: string, after = '', limit = 1_000) =>
    (await subject.store.listMessages({ topic, after, limit, now: Date.now() })).map(({ id }) => id);
  const soon = () => Date.now() + 60_000;

  describe('messages', () => {
    it('is migrated, healthy, and migrates again', async () => {
      const other = await subject.harness.open();
      await Promise.all([subject.store.migrate(), other.migrate()]);
      expect(await other.health()).toEqual({ ok: true, detail: expect.any(String) as string });
      await other.close();
    });

    it('come back as they were saved', async () => {
      const saved = message({ topic: uniqueTopic(), username: 'u', qos: 2, retain: true, expiresAt: Date.now() + 100_000 });
      expect(await subject.store.saveMessages([saved])).toEqual([]);
      expect(await subject.store.getMessage(saved.id)).toEqual(saved);
      expect(await subject.store.listMessages({ topic: saved.topic, after: '', limit: 10, now: Date.now() })).toEqual([saved]);
    });

    it('are listed by ascending id whatever the order they came in (promise 6)', async () => {
      const topic = uniqueTopic();
      const all = Array.from({ length: 50 }, () => message({ topic }));
      const shuffled = [...all].sort((a, b) => (a.id.slice(-2) < b.id.slice(-2) ? 1 : -1)).reverse();
      for (let i = 0; i < shuffled.length; i += 7) await subject.store.saveMessages(shuffled.slice(i, i + 7));
      expect(await idsOf(topic)).toEqual(all.map(({ id }) => id));
    });

    it('are listed in pages', async () => {
      const topic = uniqueTopic();
      const ids = Array.from({ length: 25 }, newId);
      await subject.store.saveMessages(ids.map((id) => message({ topic, id })));
      expect(await idsOf(topic, '', 10)).toEqual(ids.slice(0, 10));
      expect(await idsOf(topic, ids[9], 10)).toEqual(ids.slice(10, 20));
      expect(await idsOf(topic, ids[19], 10)).toEqual(ids.slice(20));
      expect(await idsOf(topic, ids[24], 10)).toEqual([]);
    });

    it('are stored once, within a batch and across batches (promise 2)', async () => {
      const topic = uniqueTopic();
      const [a, b] = [message({ topic }), message({ topic })];
      await subject.store.saveMessages([a, b, a]);
      await subject.store.saveMessages([{ ...a, payload: Buffer.from('another') }]);
      expect(await subject.store.listMessages({ topic, after: '', limit: 10, now: Date.now() })).toEqual([a, b]);
    });

    it('go when they are removed, and only they', async () => {
      const topic = uniqueTopic();
      const [a, b] = [message({ topic }), message({ topic })];
      await subject.store.saveMessages([a, b]);
      expect(await subject.store.removeMessages([a, { topic, id: newId() }], soon())).toBe(1);
      expect(await subject.store.removeMessages([a], soon())).toBe(0);
      expect(await idsOf(topic)).toEqual([b.id]);
      expect(await subject.store.getMessage(a.id)).toBeNull();
    });

    it("don't come back after they were removed (promise 2), nor when the ack came first (promise 3)", async () => {
      const topic = uniqueTopic();
      const [removed, early] = [message({ topic }), message({ topic })];
      await subject.store.saveMessages([removed]);
      await subject.store.removeMessages([removed, early, early], soon());
      await subject.store.saveMessages([removed, early]);
      expect(await idsOf(topic)).toEqual(subject.store.capabilities.tombstones ? [] : [removed.id, early.id]);
    });

    it('may come again when their tombstone is over', async () => {
      const again = message({ topic: uniqueTopic() });
      await subject.store.removeMessages([again], Date.now() - 1);
      await subject.store.saveMessages([again]);
      expect(await idsOf(again.topic)).toEqual([again.id]);
    });

    it('with a smaller id that come late are found behind the same position', async () => {
      const topic = uniqueTopic();
      const [first, late, last] = [message({ topic }), message({ topic }), message({ topic })];
      await subject.store.saveMessages([first, last]);
      expect(await idsOf(topic, first.id)).toEqual([last.id]);
      await subject.store.saveMessages([late]);
      expect(await idsOf(topic, first.id)).toEqual([late.id, last.id]);
    });

    it('are not listed once they have expired, and purged in bounded steps (promise 12)', async () => {
      const topic = uniqueTopic();
      const now = Date.now();
      const expired = Array.from({ length: 5 }, () => message({ topic, expiresAt: now - 1 }));
      const kept = message({ topic, expiresAt: now + 60_000 });
      await subject.store.saveMessages([...expired, kept]);
      expect(await idsOf(topic)).toEqual([kept.id]);
      let removed = 0;
      for (let step = -1; step !== 0; removed += step) {
        step = await subject.store.purgeExpired(now, 2);
        expect(step).toBeLessThanOrEqual(2);
      }
      expect(removed).toBeGreaterThanOrEqual(5);
      expect(await subject.store.getMessage(expired[0]!.id)).toBeNull();
      expect(await idsOf(topic)).toEqual([kept.id]);
    });

    it('are trimmed from the oldest', async () => {
      const topic = uniqueTopic();
      const ids = Array.from({ length: 10 }, newId);
      await subject.store.saveMessages(ids.map((id) => message({ topic, id })));
      expect(await subject.store.trimTopic(topic, 20)).toBe(0);
      expect(await subject.store.trimTopic(topic, 4)).toBe(6);
      expect(await idsOf(topic)).toEqual(ids.slice(6));
    });

    it('are counted', async () => {
      const before = await subject.store.countMessages();
      const topic = uniqueTopic();
      await subject.store.saveMessages([message({ topic }), message({ topic })]);
      expect(await subject.store.countMessages()).toBeGreaterThanOrEqual(before);
    });

    it('are written by several connections at once, each once, seen by all when their save has resolved', async () => {
      const topic = uniqueTopic();
      const all = Array.from({ length: 200 }, () => message({ topic }));
      const others = await Promise.all([subject.harness.open(), subject.harness.open()]);
      const overlapping = (start: number): Message[] => all.slice(start, start + 120);
      await Promise.all([subject.store.saveMessages(overlapping(0)), others[0]!.saveMessages(overlapping(40)), others[1]!.saveMessages(overlapping(80))]);
      for (const store of [subject.store, ...others]) {
        expect(await store.listMessages({ topic, after: '', limit: 1_000, now: Date.now() })).toHaveLength(200);
      }
      await Promise.all(others.map((store) => store.close()));
    });

    it('take nothing for nothing', async () => {
      expect(await subject.store.saveMessages([])).toEqual([]);
      expect(await subject.store.removeMessages([], soon())).toBe(0);
      expect(await subject.store.getMessage('absent')).toBeNull();
    });

    it('say so after the store was closed', async () => {
      const store = await subject.harness.open();
      await store.close();
      await store.close();
      await expect(store.saveMessages([message({ topic: 't' })])).rejects.toThrow(ClosedError);
      expect((await store.health()).ok).toBe(false);
    });
  });
}
