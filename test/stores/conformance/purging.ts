import type { Position, Purged, Subscription } from '../../../src/stores/store';
import { newId } from '../../support/messages';
import { uniqueTopic, type Subject } from '../conformance';

const DAY_MS = 86_400_000;
/** Everything that the tests make "long ago" is older than this, everything else is of today. */
const LONG_AGO = 100 * DAY_MS;
const RECENT = { disconnected: LONG_AGO, connected: 0 };

/** What goes because nobody has seen it for long (promise 22). */
export function purging(subject: Subject): void {
  /** A store without an index by time needs several calls for many rows. @returns how many went in each call. */
  const until = async (isDone: (removed: number) => Promise<boolean> | boolean, purge: () => Promise<Purged>): Promise<number[]> => {
    const removed: number[] = [];
    for (let calls = 0; calls < 2_000; calls++) {
      removed.push((await purge()).removed);
      if (await isDone(removed.reduce((sum, each) => sum + each, 0))) break;
    }
    return removed;
  };
  const all = async (purge: (limit: number) => Promise<Purged>) => {
    for (let i = 0, more = true; more || i < 3; i++) more = (await purge(10_000)).more;
  };
  const purgePositions = () => all((limit) => subject.store.purgePositions(LONG_AGO, limit));
  const purgeSubscriptions = () => all((limit) => subject.store.purgeSubscriptions(LONG_AGO, limit));
  const purgeStates = (before = RECENT) => all((limit) => subject.store.purgeClientStates(before, limit));

  describe('read positions that were not used for a long time', () => {
    const position = (consumer: string, topic: string, seenAt: number | null): Position => ({
      ...{ consumer, topic, id: newId(), receipts: [...(seenAt === null ? [] : [`@${seenAt}`]), newId()] },
    });

    it('are deleted from every list', async () => {
      const [consumer, topic] = [uniqueTopic(), uniqueTopic()];
      const kept = [position(consumer, `${topic}/recent`, Date.now()), position(consumer, `${topic}/unknown`, null)];
      await subject.store.putPositions([position(consumer, topic, 1_000), position('$share/', topic, 1_000), ...kept]);
      await purgePositions();
      expect(await subject.store.getPositions(consumer, [topic])).toEqual([]);
      expect(await subject.store.positionsOfTopic(topic)).toEqual([]);
      expect(await subject.store.listPositions(consumer, '', 10)).toEqual(kept);
      expect((await subject.store.positionsOfTopic(kept[0]!.topic)).map((each) => each.consumer)).toEqual([consumer]);
    });

    it('are kept when their consumer was seen again', async () => {
      const [consumer, topic] = [uniqueTopic(), uniqueTopic()];
      await subject.store.putPositions([position(consumer, topic, 1_000)]);
      const again = position(consumer, topic, Date.now());
      await subject.store.putPositions([again]);
      await purgePositions();
      expect(await subject.store.listPositions(consumer, '', 10)).toEqual([again]);
      await subject.store.putPositions([position(consumer, topic, 2_000)]);
      await purgePositions();
      expect(await subject.store.listPositions(consumer, '', 10)).toEqual([]);
      await subject.store.putPositions([again]);
      expect(await subject.store.positionsOfTopic(topic)).toEqual([again]);
    });

    it('are deleted in limited steps', async () => {
      const consumer = uniqueTopic();
      await subject.store.putPositions(Array.from({ length: 5 }, (_, i) => position(consumer, `${consumer}/${i}`, 1_000)));
      const steps = await until(
        (removed) => removed >= 5,
        () => subject.store.purgePositions(LONG_AGO, 2),
      );
      expect(steps.reduce((sum, each) => sum + each, 0)).toBe(5);
      expect(Math.max(...steps)).toBeLessThanOrEqual(2);
      expect(await subject.store.listPositions(consumer, '', 10)).toEqual([]);
    });
  });

  const describeUnlessTheyStay = (name: string, tests: () => void) =>
    subject.harness.subscriptionsStay ? undefined : describe(name, tests);
  describeUnlessTheyStay('subscriptions that no client has made for a long time', () => {
    const subscription = (clientid: string, topic: string, seenAt?: number): Subscription => ({
      clientid,
      topic,
      qos: 1,
      ...(seenAt !== undefined && { seenAt }),
    });
    const topicsOf = async (clientid: string) => (await subject.store.listSubscriptions(clientid)).map(({ topic }) => topic);

    it('are deleted when they came from an event, and kept when they were assigned', async () => {
      const [clientid, other] = [uniqueTopic(), uniqueTopic()];
      const [event, assigned] = [subscription(clientid, 'event', 1_000), subscription(clientid, 'assigned')];
      await subject.store.putSubscriptions([event, assigned, subscription(other, 'recent', Date.now())]);
      expect(await subject.store.listSubscriptions(clientid)).toEqual(['assigned', 'event'].map((topic) => subscription(clientid, topic)));
      await purgeSubscriptions();
      expect(await Promise.all([clientid, other].map(topicsOf))).toEqual([['assigned'], ['recent']]);
    });

    it('are kept after a newer event or an assignment', async () => {
      const [again, assigned] = [uniqueTopic(), uniqueTopic()];
      await subject.store.putSubscriptions([
        subscription(again, 't', 1_000),
        subscription(assigned, 't', 1_000),
        subscription(assigned, 'gone', 1_000),
      ]);
      await subject.store.putSubscriptions([subscription(again, 't', Date.now()), subscription(assigned, 't')]);
      await purgeSubscriptions();
      expect(await Promise.all([again, assigned].map(topicsOf))).toEqual([['t'], ['t']]);
    });

    it('are kept as long as events arrive for any subscription of their client', async () => {
      const clientid = uniqueTopic();
      await subject.store.putSubscriptions([subscription(clientid, 'first', 1_000), subscription(clientid, 'second', LONG_AGO + 1_000)]);
      await purgeSubscriptions();
      expect(await topicsOf(clientid)).toEqual(['first', 'second']);
      await all((limit) => subject.store.purgeSubscriptions(LONG_AGO + 2_000, limit));
      expect(await topicsOf(clientid)).toEqual([]);
    });

    it('stay assigned after an event, until they are deleted', async () => {
      const clientid = uniqueTopic();
      await subject.store.putSubscriptions([subscription(clientid, 't')]);
      await subject.store.putSubscriptions([{ ...subscription(clientid, 't', 1_000), qos: 2 }]);
      await purgeSubscriptions();
      expect(await subject.store.listSubscriptions(clientid)).toEqual([{ clientid, topic: 't', qos: 2 }]);
      await subject.store.deleteSubscriptions([{ clientid, topic: 't' }]);
      await subject.store.putSubscriptions([subscription(clientid, 't', 1_000)]);
      await purgeSubscriptions();
      expect(await topicsOf(clientid)).toEqual([]);
    });

    it('are kept while their client is connected or disconnected recently', async () => {
      const [connected, recent, gone] = [uniqueTopic(), uniqueTopic(), uniqueTopic()];
      const state = (clientid: string, isConnected: boolean, at: number) => ({
        ...{ clientid, connected: isConnected, node: null, connectedAt: 1_000, disconnectedAt: isConnected ? null : at, at },
      });
      await subject.store.saveClientStates([state(connected, true, 1_000), state(recent, false, Date.now()), state(gone, false, 2_000)]);
      await subject.store.putSubscriptions([connected, recent, gone].map((clientid) => subscription(clientid, 't', 1_000)));
      await purgeSubscriptions();
      expect(await Promise.all([connected, recent, gone].map(topicsOf))).toEqual([['t'], ['t'], []]);
    });
  });

  describe('client states without a change for a long time', () => {
    const save = (clientid: string, connected: boolean, at: number) =>
      subject.store.saveClientStates([
        { clientid, connected, node: 'emqx@127.0.0.1', connectedAt: at, disconnectedAt: connected ? null : at, at },
      ]);
    const isThere = async (clientid: string) => (await subject.store.getClientState(clientid)) !== null;

    it('are deleted, those of connected clients much later', async () => {
      const [old, recent, connected] = [uniqueTopic(), uniqueTopic(), uniqueTopic()];
      await save(old, false, 1_000);
      await save(recent, false, Date.now());
      await save(connected, true, 5_000);
      await purgeStates();
      expect(await Promise.all([old, recent, connected].map(isThere))).toEqual([false, true, true]);
      await save(old, true, 3_000);
      expect(await subject.store.getClientState(old)).toMatchObject({ clientid: old, connected: true, at: 3_000 });
    });

    it('are deleted for connected clients, too, when they are very old', async () => {
      const clientid = uniqueTopic();
      await save(clientid, true, 5_000);
      await purgeStates({ disconnected: LONG_AGO, connected: 50 * DAY_MS });
      expect(await isThere(clientid)).toBe(false);
    });

    it('are kept for clients with an assigned subscription', async () => {
      const [assigned, event] = [uniqueTopic(), uniqueTopic()];
      await Promise.all([assigned, event].map((clientid) => save(clientid, false, 1_000)));
      await subject.store.putSubscriptions([
        { clientid: assigned, topic: 't', qos: 1 },
        { clientid: event, topic: 't', qos: 1, seenAt: 1_000 },
      ]);
      await purgeStates();
      expect(await Promise.all([assigned, event].map(isThere))).toEqual([true, subject.harness.subscriptionsStay]);
      expect(await subject.store.getClientState(assigned)).toMatchObject({ connected: false, at: 1_000 });
    });
  });
}
