import { ClosedError } from '../../../src/base/errors';
import type { Message } from '../../../src/mqtt/message';
import type { Store } from '../../../src/stores/store';
import { answeredHealth } from '../../support/health';
import { message, newId } from '../../support/messages';
import { uniqueTopic, type Subject } from '../conformance';

/** Saving, reading in order, removing, tombstones, expiry. */
export function messages(subject: Subject): void {
  const idsOf = async (topic: string, after = '', limit = 1_000) =>
    (await subject.store.listMessages({ topic, after, limit, now: Date.now() })).map(({ id }) => id);
  const soon = () => Date.now() + 60_000;

  describe('messages', () => {
    it('have a store that is healthy after repeated migrations', async () => {
      const other = await subject.harness.open();
      await Promise.all([subject.store.migrate(), other.migrate()]);
      expect(await answeredHealth(other)).toEqual({ ok: true, detail: expect.any(String) as string });
      await other.close();
    });

    it('are read back as they were saved', async () => {
      const saved = message({ topic: uniqueTopic(), username: 'u', qos: 2, retain: true, expiresAt: Date.now() + 100_000 });
      expect(await subject.store.saveMessages([saved])).toEqual([]);
      expect(await subject.store.getMessage(saved.id)).toEqual(saved);
      expect(await subject.store.listMessages({ topic: saved.topic, after: '', limit: 10, now: Date.now() })).toEqual([saved]);
    });

    it('are listed by ascending id, in whatever order they were saved (promise 6)', async () => {
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

    it('are removed, and no others', async () => {
      const topic = uniqueTopic();
      const [a, b] = [message({ topic }), message({ topic })];
      await subject.store.saveMessages([a, b]);
      expect(await subject.store.removeMessages([a, { topic, id: newId() }], soon())).toBe(1);
      expect(await subject.store.removeMessages([a], soon())).toBe(0);
      expect(await idsOf(topic)).toEqual([b.id]);
      expect(await subject.store.getMessage(a.id)).toBeNull();
    });

    it('are not stored again after their removal (promises 2 and 3)', async () => {
      const topic = uniqueTopic();
      const [removed, early] = [message({ topic }), message({ topic })];
      await subject.store.saveMessages([removed]);
      await subject.store.removeMessages([removed, early, early], soon());
      await subject.store.saveMessages([removed, early]);
      expect(await idsOf(topic)).toEqual(subject.store.capabilities.tombstones ? [] : [removed.id, early.id]);
    });

    it('keep their longest tombstone until it expires', async () => {
      const topic = uniqueTopic();
      const [long, short] = [message({ topic }), message({ topic })];
      const now = Date.now();
      await subject.store.removeMessages([long, short], now - 2);
      await subject.store.removeMessages([long], soon());
      await subject.store.removeMessages([long], now - 1);
      while ((await subject.store.purgeExpired(now, 1_000)).removed > 0);
      await subject.store.saveMessages([long, short]);
      expect(await idsOf(topic)).toEqual(subject.store.capabilities.tombstones ? [short.id] : [long.id, short.id]);
    });

    it('are removed when a save and a removal run at the same time (promise 3)', async () => {
      if (!subject.store.capabilities.tombstones) return;
      const topic = uniqueTopic();
      const other = await subject.harness.open();
      for (let round = 0; round < 40; round++) {
        const batch = Array.from({ length: 20 }, () => message({ topic }));
        await Promise.all([subject.store.saveMessages(batch), other.removeMessages([...batch].reverse(), soon())]);
      }
      expect(await idsOf(topic)).toEqual([]);
      await other.close();
    });

    it('can be stored again when their tombstone has expired', async () => {
      const again = message({ topic: uniqueTopic() });
      await subject.store.removeMessages([again], Date.now() - 1);
      await subject.store.saveMessages([again]);
      expect(await idsOf(again.topic)).toEqual([again.id]);
    });

    it('with a lower id that are saved late are listed after the same position', async () => {
      const topic = uniqueTopic();
      const [first, late, last] = [message({ topic }), message({ topic }), message({ topic })];
      await subject.store.saveMessages([first, last]);
      expect(await idsOf(topic, first.id)).toEqual([last.id]);
      await subject.store.saveMessages([late]);
      expect(await idsOf(topic, first.id)).toEqual([late.id, last.id]);
    });

    it('are not listed after their expiry, and purged in limited steps (promise 12)', async () => {
      const topic = uniqueTopic();
      const now = Date.now();
      const expired = Array.from({ length: 5 }, () => message({ topic, expiresAt: now - 1 }));
      const kept = message({ topic, expiresAt: now + 60_000 });
      await subject.store.saveMessages([...expired, kept]);
      expect(await idsOf(topic)).toEqual([kept.id]);
      let removed = 0;
      for (let step = -1; step !== 0; removed += step) {
        step = (await subject.store.purgeExpired(now, 2)).removed;
        expect(step).toBeLessThanOrEqual(2);
      }
      expect(removed).toBeGreaterThanOrEqual(5);
      expect(await subject.store.getMessage(expired[0]!.id)).toBeNull();
      expect(await idsOf(topic)).toEqual([kept.id]);
    });

    it('are trimmed, the oldest first', async () => {
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
      const after = await subject.store.countMessages();
      // Beyond what is counted cheaply it is an estimate, which may lag behind.
      if (before < 50_000) expect(after).toBe(before + 2);
      else expect(after).toBeGreaterThan(before / 2);
    });

    it('are written once by several connections, and visible after each save', async () => {
      const topic = uniqueTopic();
      const all = Array.from({ length: 200 }, () => message({ topic }));
      const others = await Promise.all([subject.harness.open(), subject.harness.open()]);
      const overlapping = (start: number): Message[] => all.slice(start, start + 120);
      await Promise.all([
        subject.store.saveMessages(overlapping(0)),
        others[0]!.saveMessages(overlapping(40)),
        others[1]!.saveMessages(overlapping(80)),
      ]);
      for (const store of [subject.store, ...others]) {
        expect(await store.listMessages({ topic, after: '', limit: 1_000, now: Date.now() })).toHaveLength(200);
      }
      const backwards = [...all].reverse();
      const removed = await Promise.all([
        subject.store.removeMessages(all.slice(0, 120), soon()),
        others[0]!.removeMessages(backwards.slice(0, 120), soon()),
      ]);
      // A message that both remove at the same time may be counted twice.
      expect(removed[0]! + removed[1]!).toBeGreaterThanOrEqual(200);
      expect(removed[0]! + removed[1]!).toBeLessThanOrEqual(240);
      expect(await idsOf(topic)).toEqual([]);
      await Promise.all(others.map((store) => store.close()));
    });

    it('are written in opposite orders at once without conflicts', async () => {
      const topic = uniqueTopic();
      const other = await subject.harness.open();
      const count = Math.min(subject.harness.many, 2_000);
      for (let round = 0; round < 3; round++) {
        const batch = Array.from({ length: count }, () => message({ topic }));
        const saves = await Promise.all([subject.store.saveMessages(batch), other.saveMessages([...batch].reverse())]);
        expect(saves).toEqual([[], []]);
      }
      const found = await subject.store.listMessages({ topic, after: '', limit: 10_000, now: Date.now() });
      expect(found).toHaveLength(3 * count);
      await other.close();
    });

    it('are neither saved nor removed by empty lists', async () => {
      expect(await subject.store.saveMessages([])).toEqual([]);
      expect(await subject.store.removeMessages([], soon())).toBe(0);
      expect(await subject.store.getMessage('absent')).toBeNull();
    });

    it('cannot be used after the store was closed', async () => {
      const store = await subject.harness.open();
      await store.close();
      await store.close();
      const ref = message({ topic: 't', clientid: 'c' });
      const query = { filter: '#', after: '', limit: 1 };
      const calls: Record<Exclude<keyof Store, 'capabilities' | 'health' | 'close'>, () => Promise<unknown>> = {
        migrate: () => store.migrate(),
        migrationPlan: () => store.migrationPlan(),
        saveMessages: () => store.saveMessages([ref]),
        removeMessages: () => store.removeMessages([ref], soon()),
        getMessage: () => store.getMessage(ref.id),
        listTopics: () => store.listTopics(query),
        listMessages: () => store.listMessages({ topic: 't', after: '', limit: 1, now: 0 }),
        listRefs: () => store.listRefs({ topic: 't', after: '', limit: 1, now: 0 }),
        trimTopic: () => store.trimTopic('t', 1),
        purgeExpired: () => store.purgeExpired(0, 1),
        purgePositions: () => store.purgePositions(0, 1),
        purgeSubscriptions: () => store.purgeSubscriptions(0, 1),
        purgeClientStates: () => store.purgeClientStates({ disconnected: 0, connected: 0 }, 1),
        countMessages: () => store.countMessages(),
        topicCounts: () => store.topicCounts(['t'], 0),
        oldestMessageAt: () => store.oldestMessageAt(0),
        getPositions: () => store.getPositions('c', ['t']),
        listPositions: () => store.listPositions('c', '', 1),
        putPositions: () => store.putPositions([{ consumer: 'c', topic: 't', id: 'x', receipts: [] }]),
        positionsOfTopic: () => store.positionsOfTopic('t'),
        saveClientStates: () =>
          store.saveClientStates([{ clientid: 'c', connected: true, node: null, connectedAt: null, disconnectedAt: null, at: 1 }]),
        getClientState: () => store.getClientState('c'),
        putSubscriptions: () => store.putSubscriptions([{ clientid: 'c', topic: 't', qos: 0 }]),
        deleteSubscriptions: () => store.deleteSubscriptions([ref]),
        listSubscriptions: () => store.listSubscriptions('c'),
        putRetained: () => store.putRetained([ref]),
        deleteRetained: () => store.deleteRetained([ref]),
        listRetained: () => store.listRetained(query),
      };
      for (const call of Object.values(calls)) await expect(call()).rejects.toThrow(ClosedError);
      expect((await store.health()).ok).toBe(false);
    });
  });
}
