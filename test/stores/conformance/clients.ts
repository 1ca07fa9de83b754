import type { ClientState, Position } from '../../../src/stores/store';
import { asTopic, HOSTILE } from '../../support/hostile';
import { message, newId } from '../../support/messages';
import { uniqueTopic, type Subject } from '../conformance';
import { noise } from './content';

/** Names for tests, and texts: a long one would make an unreadable name. */
const anyText = (...more: string[]): [string, string][] => [
  ...[...HOSTILE, ...more].map((text): [string, string] => [text, text]),
  ['65,000 bytes', noise('c', 65_000)],
];

/** Client state, subscriptions, retained messages, read positions. */
export function clients(subject: Subject): void {
  const state = (clientid: string, fields: Partial<ClientState> = {}): ClientState => ({
    ...{ clientid, connected: true, node: 'emqx@127.0.0.1', connectedAt: 1_000, disconnectedAt: null, at: 1_000 },
    ...fields,
  });

  describe('client state', () => {
    it('is the one with the newest event time', async () => {
      const clientid = uniqueTopic();
      expect(await subject.store.getClientState(clientid)).toBeNull();
      await subject.store.saveClientStates([state(clientid, { at: 2_000, connectedAt: 2_000 })]);
      await subject.store.saveClientStates([state(clientid, { connected: false, disconnectedAt: 1_500, at: 1_500 })]);
      expect(await subject.store.getClientState(clientid)).toMatchObject({ connected: true, connectedAt: 2_000, at: 2_000 });
      await subject.store.saveClientStates([state(clientid, { connected: false, connectedAt: 2_000, disconnectedAt: 3_000, at: 3_000 })]);
      expect(await subject.store.getClientState(clientid)).toMatchObject({ connected: false, connectedAt: 2_000, disconnectedAt: 3_000 });
    });

    it('is the one with the newest event time within a batch, too', async () => {
      const clientid = uniqueTopic();
      await subject.store.saveClientStates([
        state(clientid, { at: 9_000 }),
        state(clientid, { connected: false, disconnectedAt: 5_000, at: 5_000 }),
      ]);
      expect(await subject.store.getClientState(clientid)).toMatchObject({ connected: true });
    });

    it.each(anyText())('is stored for any client id: %p', async (_, text) => {
      await subject.store.saveClientStates([state(text), state(`${text}2`, { connected: false, disconnectedAt: 1_000 })]);
      expect(await subject.store.getClientState(text)).toMatchObject({ clientid: text, connected: true });
      expect(await subject.store.getClientState(text.toUpperCase() === text ? `${text}!` : text.toUpperCase())).toBeNull();
    });
  });

  describe('subscriptions', () => {
    it('are added, replaced, listed in order and deleted', async () => {
      const clientid = uniqueTopic();
      await subject.store.putSubscriptions([
        { clientid, topic: 't/2', qos: 1 },
        { clientid, topic: 't/1', qos: 0 },
        { clientid, topic: 't/1', qos: 2 },
        { clientid: `${clientid}x`, topic: 't/9', qos: 1 },
      ]);
      await subject.store.putSubscriptions([{ clientid, topic: 't/2', qos: 0 }]);
      expect(await subject.store.listSubscriptions(clientid)).toEqual([
        { clientid, topic: 't/1', qos: 2 },
        { clientid, topic: 't/2', qos: 0 },
      ]);
      await subject.store.deleteSubscriptions([
        { clientid, topic: 't/1' },
        { clientid, topic: 'absent' },
      ]);
      expect(await subject.store.listSubscriptions(clientid)).toEqual([{ clientid, topic: 't/2', qos: 0 }]);
    });

    it.each(anyText('$share/g/t/#', 'T/1'))('are stored for any client id and filter: %p', async (_, text) => {
      const subscription = { clientid: `client ${text}`, topic: text, qos: 1 as const };
      await subject.store.putSubscriptions([subscription]);
      expect(await subject.store.listSubscriptions(subscription.clientid)).toEqual([subscription]);
      await subject.store.deleteSubscriptions([subscription]);
      expect(await subject.store.listSubscriptions(subscription.clientid)).toEqual([]);
    });
  });

  describe('retained messages', () => {
    const list = (filter: string, after = '', limit = 100) => subject.store.listRetained({ filter, after, limit });

    it('are replaced by newer ones only', async () => {
      const topic = uniqueTopic();
      const [older, newer] = [message({ topic, retain: true }), message({ topic, retain: true, payload: Buffer.from([0, 1]) })];
      await subject.store.putRetained([newer, older]);
      await subject.store.putRetained([older]);
      expect(await list(topic)).toEqual([newer]);
    });

    it('are deleted unless they are newer', async () => {
      const topic = uniqueTopic();
      const [older, retained] = [newId(), message({ topic, retain: true })];
      await subject.store.putRetained([retained]);
      await subject.store.deleteRetained([{ topic, id: older, publishReceivedAt: retained.publishReceivedAt }]);
      expect(await list(topic)).toHaveLength(1);
      await subject.store.deleteRetained([{ topic, id: newId(), publishReceivedAt: retained.publishReceivedAt }]);
      expect(await list(topic)).toEqual([]);
    });

    // A last will has the id of its client's CONNECT: ten minutes later it is newer than what the client published in between.
    it('are ordered by their time, not by their ids', async () => {
      const topic = uniqueTopic();
      const at = Date.now() - 600_000;
      const [willId, laterId] = [newId(), newId()];
      const online = message({ topic, retain: true, id: laterId, publishReceivedAt: at, payload: Buffer.from('online') });
      const will = message({ topic, retain: true, id: willId, publishReceivedAt: at + 600_000, payload: Buffer.from('offline') });
      await subject.store.putRetained([online]);
      await subject.store.putRetained([will]);
      expect(await list(topic)).toEqual([will]);
      await subject.store.putRetained([online]);
      await subject.store.deleteRetained([online]);
      expect(await list(topic)).toEqual([will]);
      await subject.store.putRetained([message({ topic, retain: true, publishReceivedAt: at + 1 })]);
      expect(await list(topic)).toEqual([will]);
      await subject.store.deleteRetained([{ topic, id: willId, publishReceivedAt: at + 600_001 }]);
      expect(await list(topic)).toEqual([]);
      const [first, second] = [will, online].map((each) => ({ ...each, topic: `${topic}/together` }));
      await subject.store.putRetained([first!, second!]);
      expect(await list(`${topic}/together`)).toEqual([first]);
    });

    it.each(anyText())('are stored under any topic: %p', async (_, text) => {
      const topic = `${uniqueTopic()}/${asTopic(text)}`;
      const [first, second] = [
        message({ topic, retain: true }),
        message({ topic, retain: true, clientid: text, payload: Buffer.from([0xff]) }),
      ];
      expect(await subject.store.putRetained([first])).toEqual([]);
      expect(await subject.store.putRetained([second])).toEqual([]);
      expect(await list(topic)).toEqual([second]);
      await subject.store.deleteRetained([second]);
      expect(await list(topic)).toEqual([]);
    });

    it('are found by filter, in pages', async () => {
      const base = uniqueTopic();
      const names = ['a', 'b', 'c/d', 'e'].map((name) => `${base}/${name}`);
      await subject.store.putRetained(names.map((topic) => message({ topic, retain: true })));
      expect((await list(`${base}/#`)).map(({ topic }) => topic)).toEqual(names);
      expect((await list(`${base}/+`)).map(({ topic }) => topic)).toEqual([names[0], names[1], names[3]]);
      expect((await list(`${base}/#`, names[0], 2)).map(({ topic }) => topic)).toEqual(names.slice(1, 3));
    });
  });

  describe('read positions', () => {
    const position = (consumer: string, topic: string, fields: Partial<Position> = {}): Position => ({
      consumer,
      topic,
      id: newId(),
      receipts: [],
      ...fields,
    });

    it('are replaced, found by topic, listed by consumer and deleted', async () => {
      const [consumer, other] = [uniqueTopic(), uniqueTopic()];
      const [a, b] = [uniqueTopic(), uniqueTopic()];
      const onA = position(consumer, a, { receipts: [newId(), newId()] });
      const onB = position(consumer, b, { id: '', receipts: [newId()] });
      await subject.store.putPositions([position(consumer, a), onB, position(other, a)]);
      await subject.store.putPositions([onA]);
      expect(await subject.store.getPositions(consumer, [a, b, 'absent'])).toEqual(expect.arrayContaining([onA, onB]));
      expect(await subject.store.getPositions(consumer, ['absent'])).toEqual([]);
      expect(await subject.store.listPositions(consumer, '', 10)).toEqual([onA, onB]);
      expect(await subject.store.listPositions(consumer, a, 10)).toEqual([onB]);
      expect((await subject.store.positionsOfTopic(a)).map((each) => each.consumer).sort()).toEqual([consumer, other].sort());
      await subject.store.putPositions([{ ...onB, receipts: [] }]);
      expect(await subject.store.listPositions(consumer, '', 10)).toEqual([onA]);
    });

    it('are listed page by page, sorted by code point', async () => {
      const consumer = uniqueTopic();
      const names = ['A', 'a', 'a/b', '\uffee', '😀', noise('😀', 2_000), `${noise('😀', 2_000)}!`].map((name) => `${consumer}/${name}`);
      await subject.store.putPositions([...names].reverse().map((topic) => position(consumer, topic)));
      const found: string[] = [];
      for (let after = ''; ; after = found.at(-1) ?? '') {
        const page = await subject.store.listPositions(consumer, after, 2);
        if (page.length === 0) break;
        found.push(...page.map(({ topic }) => topic));
      }
      expect(found).toEqual(names);
    });

    it('are written by several connections at once without conflicts', async () => {
      const consumer = uniqueTopic();
      const other = await subject.harness.open();
      const count = Math.min(subject.harness.many, 1_000);
      const positions = Array.from({ length: count }, () => position(consumer, uniqueTopic()));
      for (let round = 0; round < 3; round++) {
        await Promise.all([subject.store.putPositions(positions), other.putPositions([...positions].reverse())]);
      }
      expect(await other.listPositions(consumer, '', 10_000)).toHaveLength(count);
      await other.close();
    });

    it.each(anyText('$share/g'))('are stored for any consumer and topic: %p', async (_, text) => {
      const kept = position(`consumer ${text}`, text);
      await subject.store.putPositions([kept]);
      expect(await subject.store.getPositions(kept.consumer, [text])).toEqual([kept]);
    });
  });
}
