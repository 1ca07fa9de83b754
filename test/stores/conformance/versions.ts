import type { Position } from '../../../src/stores/store';
import { newId } from '../../support/messages';
import { uniqueTopic, type Subject } from '../conformance';

/** A greater version than any other: the greatest integer that a double holds. */
const GREATEST = 2 ** 53;

/** Versions of read positions (promise 21): what a process that stood still writes late changes nothing. */
export function versions(subject: Subject): void {
  const position = (topic: string, version: number | undefined, fields: Partial<Position> = {}): Position => ({
    ...{ consumer: 'consumer', topic, id: newId(), receipts: [newId()] },
    ...(version !== undefined && { version }),
    ...fields,
  });
  const nothing = (topic: string, version?: number, fields: Partial<Position> = {}): Position =>
    position(topic, version, { id: '', receipts: [], ...fields });
  const stored = async (topic: string): Promise<Position | null> => {
    const [one] = await subject.store.positionsOfTopic(topic);
    return one ?? null;
  };

  describe('read positions with versions', () => {
    it.each([undefined, 1, 1_800_000_000_000_000, GREATEST - 1, GREATEST])(
      'are found by consumer, list and topic, version %p',
      async (version) => {
        const put = position(uniqueTopic(), version, { consumer: uniqueTopic() });
        await subject.store.putPositions([put]);
        expect(await subject.store.getPositions(put.consumer, [put.topic])).toEqual([put]);
        expect(await subject.store.listPositions(put.consumer, '', 10)).toEqual([put]);
        expect(await subject.store.positionsOfTopic(put.topic)).toEqual([put]);
      },
    );

    it.each([
      [undefined, 1],
      [9, 10],
      [GREATEST - 1, GREATEST],
    ])('are replaced by an equal or greater version only: %p and %p', async (smaller, greater) => {
      const topic = uniqueTopic();
      await subject.store.putPositions([position(topic, smaller)]);
      const [equal, later] = [position(topic, smaller), position(topic, greater)];
      await subject.store.putPositions([equal]);
      expect(await stored(topic)).toEqual(equal);
      await subject.store.putPositions([later]);
      await subject.store.putPositions([position(topic, smaller)]);
      await subject.store.putPositions([position(topic, undefined)]);
      expect(await stored(topic)).toEqual(later);
      const again = position(topic, greater);
      await subject.store.putPositions([again]);
      expect(await stored(topic)).toEqual(again);
    });

    it('are deleted with an equal or greater version only', async () => {
      const [consumer, topic] = [uniqueTopic(), uniqueTopic()];
      const put = position(topic, 7, { consumer });
      for (const version of [7, 8]) {
        await subject.store.putPositions([put]);
        for (const smaller of [6, undefined]) await subject.store.putPositions([nothing(topic, smaller, { consumer })]);
        expect(await subject.store.getPositions(consumer, [topic])).toEqual([put]);
        expect(await subject.store.listPositions(consumer, '', 10)).toEqual([put]);
        expect(await stored(topic)).toEqual(put);
        await subject.store.putPositions([nothing(topic, version, { consumer })]);
        expect(await subject.store.getPositions(consumer, [topic])).toEqual([]);
        expect(await subject.store.listPositions(consumer, '', 10)).toEqual([]);
        expect(await stored(topic)).toBeNull();
      }
    });

    it('start again with any version after their deletion', async () => {
      const topic = uniqueTopic();
      await subject.store.putPositions([position(topic, 1_000)]);
      await subject.store.putPositions([nothing(topic, 1_000)]);
      const anew = position(topic, 1);
      await subject.store.putPositions([anew]);
      expect(await stored(topic)).toEqual(anew);
      await subject.store.putPositions([nothing(topic, 1)]);
      const unversioned = position(topic, undefined);
      await subject.store.putPositions([unversioned]);
      expect(await stored(topic)).toEqual(unversioned);
    });

    it('are compared separately in a batch', async () => {
      const base = uniqueTopic();
      const at = (n: number) => `${base}/${n}`;
      const before = [0, 1, 2, 3, 4].map((n) => position(at(n), 5));
      await subject.store.putPositions(before);
      const batch = [
        position(at(0), 4),
        position(at(1), 6),
        nothing(at(2), 4),
        nothing(at(3), 5),
        position(at(4), undefined),
        position(at(5), 3),
        nothing(at(6), 3),
      ];
      await subject.store.putPositions(batch);
      const found = await Promise.all([0, 1, 2, 3, 4, 5, 6].map((n) => stored(at(n))));
      expect(found).toEqual([before[0], batch[1], before[2], null, before[4], batch[5], null]);
    });

    it('in one batch are decided by the greatest version, and the last of equal ones', async () => {
      const topic = uniqueTopic();
      const [greatest, last] = [position(topic, 9), position(topic, 9)];
      await subject.store.putPositions([position(topic, 8), greatest, last, nothing(topic, 3), position(topic, undefined)]);
      expect(await stored(topic)).toEqual(last);
    });

    const itUnlessInTwoSteps = (name: string, test: () => Promise<void>) =>
      subject.harness.changesInTwoSteps ? undefined : it(name, test);
    itUnlessInTwoSteps('have the greatest version after writes by several connections at once', async () => {
      const base = uniqueTopic();
      const topics = [0, 1, 2, 3, 4].map((n) => `${base}/${n}`);
      const [last, rounds] = [12, 3];
      const other = await subject.harness.open();
      for (let round = 0; round < rounds; round++) {
        const versions = Array.from({ length: last }, (_, i) => round * last + i + 1).sort((a, b) => ((a * 7) % last) - ((b * 7) % last));
        const puts = versions.map((version, i) => {
          // Deletions are in between, and batches in either order.
          const batch = topics.map((topic) =>
            version % 5 === 0 && version % last !== 0 ? nothing(topic, version) : position(topic, version, { id: `${version}` }),
          );
          return (i % 2 === 0 ? subject.store : other).putPositions(i % 3 === 0 ? batch.reverse() : batch);
        });
        await Promise.all(puts);
        for (const topic of topics) expect(await stored(topic)).toMatchObject({ id: `${(round + 1) * last}`, version: (round + 1) * last });
      }
      await other.close();
    });
  });
}
