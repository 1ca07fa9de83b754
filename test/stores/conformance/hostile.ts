import { asTopic, HOSTILE } from '../../support/hostile';
import { message, newId } from '../../support/messages';
import { uniqueTopic, type Subject } from '../conformance';

/**
 * Names that mean something to a query language, a key or a path mean nothing here: whatever is asked or removed under one of them
 * touches that one alone. All of them lie side by side, so that a name taken for a pattern or an operator meets its neighbours.
 */
export function hostile(subject: Subject): void {
  const names = (base: string) => [...new Set(HOSTILE.map((text) => `${base}/${asTopic(text)}`))];

  describe('hostile names', () => {
    it('as topics are listed once and removed separately', async () => {
      const base = uniqueTopic();
      const messages = names(base).map((topic) => message({ topic, clientid: topic, payload: Buffer.from(topic) }));
      expect(await subject.store.saveMessages(messages)).toEqual([]);
      const left = new Map(messages.map((each) => [each.topic, each]));
      const listed = () => subject.store.listTopics({ filter: `${base}/#`, after: '', limit: 1_000 });
      expect([...(await listed())].sort()).toEqual([...left.keys()].sort());
      for (const each of messages) {
        const { topic, id } = each;
        expect(await subject.store.listMessages({ topic, after: '', limit: 10, now: Date.now() })).toEqual([each]);
        expect(await subject.store.removeMessages([{ topic, id }], Date.now() + 1_000)).toBe(1);
        left.delete(topic);
        expect(await subject.store.listMessages({ topic, after: '', limit: 10, now: Date.now() })).toEqual([]);
      }
      expect(await listed()).toEqual([]);
    });

    it('as topic and as page start find no other messages', async () => {
      const topic = uniqueTopic();
      await subject.store.saveMessages([message({ topic })]);
      for (const text of HOSTILE) {
        expect(await subject.store.listMessages({ topic: asTopic(text) || '/', after: text, limit: 10, now: Date.now() })).toEqual([]);
        expect(await subject.store.getMessage(text)).toBeNull();
        expect(await subject.store.trimTopic(`${topic}/${asTopic(text)}`, 0)).toBe(0);
      }
      expect(await subject.store.listMessages({ topic, after: '', limit: 10, now: Date.now() })).toHaveLength(1);
    });

    it('as client ids have separate states, subscriptions and positions', async () => {
      const base = uniqueTopic();
      const clientids = HOSTILE.map((text) => `${base} ${text}`);
      const state = { connected: true, node: null, connectedAt: 1_000, disconnectedAt: null, at: 1_000 };
      await subject.store.saveClientStates(clientids.map((clientid) => ({ clientid, ...state })));
      await subject.store.putSubscriptions(clientids.map((clientid) => ({ clientid, topic: clientid, qos: 1 as const })));
      const id = newId();
      await subject.store.putPositions(clientids.map((clientid) => ({ consumer: clientid, topic: base, id, receipts: [] })));
      expect((await subject.store.positionsOfTopic(base)).map(({ consumer }) => consumer).sort()).toEqual([...clientids].sort());
      for (const clientid of clientids) {
        expect(await subject.store.getClientState(clientid)).toMatchObject({ clientid });
        expect(await subject.store.listPositions(clientid, '', 10)).toEqual([{ consumer: clientid, topic: base, id, receipts: [] }]);
        expect(await subject.store.listSubscriptions(clientid)).toEqual([{ clientid, topic: clientid, qos: 1 }]);
        await subject.store.deleteSubscriptions([{ clientid, topic: clientid }]);
        expect(await subject.store.listSubscriptions(clientid)).toEqual([]);
        await subject.store.putPositions([{ consumer: clientid, topic: base, id: '', receipts: [] }]);
        expect(await subject.store.listPositions(clientid, '', 10)).toEqual([]);
      }
      expect(await subject.store.positionsOfTopic(base)).toEqual([]);
    });

    it('as topics of retained messages are stored, listed and deleted separately', async () => {
      const base = uniqueTopic();
      const retained = names(base).map((topic) => message({ topic, retain: true }));
      expect(await subject.store.putRetained(retained)).toEqual([]);
      const all = async () =>
        (await subject.store.listRetained({ filter: `${base}/#`, after: '', limit: 1_000 })).map(({ topic }) => topic).sort();
      expect(await all()).toEqual(retained.map(({ topic }) => topic).sort());
      const [first, ...others] = retained;
      await subject.store.deleteRetained([first!]);
      expect(await all()).toEqual(others.map(({ topic }) => topic).sort());
      await subject.store.deleteRetained(others);
      expect(await all()).toEqual([]);
    });
  });
}
