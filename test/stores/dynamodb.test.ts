import { withBackends } from '../support/backends';
import { message, newId } from '../support/messages';
import { conformance } from './conformance';
import { TestTables } from './dynamodb-tables';

const MEGABYTE = Buffer.from(Array.from({ length: 1_048_576 }, (_, i) => (i * 31) & 0xff));
/** More than an item holds, whatever the payload. */
const HUGE = { userProperties: Array.from({ length: 10 }, (_, i) => ({ key: `${i}`, value: 'x'.repeat(60_000) })) };

describe('dynamodb', () => {
  withBackends(['dynamodb'], ({ dynamodb: server }) => {
    const shared = new TestTables(server, `conformance_${process.pid}_`);
    conformance('on DynamoDB', { open: async () => shared.open() });
    afterAll(() => shared.drop());

    describe('details of this database', () => {
      const tables = new TestTables(server, `beyond_${process.pid}_`);
      const store = tables.open();
      const topic = 'beyond';
      const soon = () => Date.now() + 60_000;
      const list = (of: string) => store.listMessages({ topic: of, after: '', limit: 1_000, now: Date.now() });
      beforeAll(() => store.migrate());
      afterAll(() => store.close().then(() => tables.drop()));

      // Promise 13.
      it('rejects only messages that an item cannot hold', async () => {
        const batch = Array.from({ length: 60 }, (_, i) =>
          message({ topic, ...(i % 20 === 4 && { properties: HUGE, payload: MEGABYTE }) }),
        );
        const [refused, fine] = [batch.filter((_, i) => i % 20 === 4), batch.filter((_, i) => i % 20 !== 4)];
        const refusals = refused.map(({ id }) => ({ id, reason: expect.stringContaining('400 KB') as string }));
        expect(await store.saveMessages(batch)).toEqual(refusals);
        expect((await list(topic)).map(({ id }) => id)).toEqual(fine.map(({ id }) => id));
        expect(await tables.items('mqtt_msg_part')).toEqual([]);
        expect(await store.putRetained(refused)).toEqual(refusals.slice(-1));
        expect(await store.saveMessages([message({ topic, id: 'x'.repeat(1_025) })])).toHaveLength(1);
      });

      it.each([350_000, 380_000, 400_000, 409_600])('keeps a payload of %i bytes with a long topic and client id', async (length) => {
        const saved = message({
          topic: `${'t'.repeat(30_000)}${length}`,
          clientid: 'c'.repeat(30_000),
          payload: MEGABYTE.subarray(0, length),
        });
        expect(await store.saveMessages([saved])).toEqual([]);
        expect(await list(saved.topic)).toEqual([saved]);
        expect(await store.putRetained([saved])).toEqual([]);
        expect(await store.listRetained({ filter: saved.topic, after: '', limit: 1 })).toEqual([{ ...saved, retain: true }]);
        await store.removeMessages([saved], soon());
        await store.deleteRetained([saved]);
      });

      it('deletes every part of a large message, but not of a retained one', async () => {
        const [first, second] = [message({ topic, payload: MEGABYTE, retain: true }), message({ topic, payload: MEGABYTE, retain: true })];
        const parts = async () => (await tables.items('mqtt_msg_part')).length;
        await store.saveMessages([first, second]);
        expect(await parts()).toBe(6);
        await store.putRetained([first]);
        expect(await store.removeMessages([first, second], soon())).toBe(2);
        expect((await store.listRetained({ filter: topic, after: '', limit: 1 }))[0]?.payload.equals(MEGABYTE)).toBe(true);
        await store.putRetained([second]);
        await store.putRetained([first]);
        expect(await parts()).toBe(3);
        await store.deleteRetained([{ topic, id: newId(), publishReceivedAt: Date.now() }]);
        expect(await parts()).toBe(0);
      });

      it('reads a retained message completely while it is replaced', async () => {
        const other = tables.open();
        const replace = async () => {
          for (let i = 0; i < 10; i++) await other.putRetained([message({ topic: 'replaced', retain: true, payload: MEGABYTE })]);
        };
        await store.putRetained([message({ topic: 'replaced', retain: true, payload: MEGABYTE })]);
        const replaced = replace();
        for (let i = 0; i < 20; i++) {
          const [found] = await store.listRetained({ filter: 'replaced', after: '', limit: 1 });
          expect(found?.payload.equals(MEGABYTE)).toBe(true);
        }
        await replaced;
        await other.close();
      });

      it('repairs an interrupted save or removal', async () => {
        const [saved, removed] = [message({ topic: 'interrupted' }), message({ topic: 'interrupted/removed' })];
        await store.saveMessages([saved, removed]);
        await tables.db.deleteItem({ TableName: `${tables.prefix}mqtt_msg`, Key: { msgid: { S: saved.id } } });
        await tables.db.deleteItem({ TableName: `${tables.prefix}mqtt_msg`, Key: { msgid: { S: removed.id } } });
        expect(await list('interrupted')).toEqual([]);
        await store.saveMessages([saved]);
        expect(await list('interrupted')).toEqual([saved]);
        expect(await store.removeMessages([removed], soon())).toBe(0);
        expect(await store.listTopics({ filter: 'interrupted/#', after: '', limit: 9 })).toEqual(['interrupted']);
      });

      it('names the message that is incomplete', async () => {
        const broken = message({ topic: 'broken', payload: MEGABYTE });
        await store.saveMessages([broken]);
        await tables.db.deleteItem({ TableName: `${tables.prefix}mqtt_msg_part`, Key: { owner: { S: broken.id }, n: { N: '1' } } });
        await expect(store.getMessage(broken.id)).rejects.toThrow(`message ${broken.id} is incomplete`);
      });

      it('lets DynamoDB delete tombstones', async () => {
        const gone = message({ topic });
        await store.removeMessages([gone], 1_900_000_000_500);
        const { Item } = await tables.db.getItem({ TableName: `${tables.prefix}mqtt_tombstone`, Key: { msgid: { S: gone.id } } });
        expect(Item).toEqual({ msgid: { S: gone.id }, expires_at: { N: '1900000000500' }, ttl: { N: '1900000001' } });
        const { TimeToLiveDescription } = await tables.db.describeTimeToLive({ TableName: `${tables.prefix}mqtt_tombstone` });
        expect(TimeToLiveDescription).toEqual({ AttributeName: 'ttl', TimeToLiveStatus: 'ENABLED' });
      });

      it('accepts client ids and consumers that cannot be keys', async () => {
        for (const text of ['', 'sha256:x', 'é'.repeat(600)]) {
          await store.putPositions([{ consumer: text, topic: 'key', id: 'A', receipts: [] }]);
          expect(await store.listPositions(text, '', 9)).toEqual([{ consumer: text, topic: 'key', id: 'A', receipts: [] }]);
          await store.saveClientStates([{ clientid: text, connected: true, node: 'n', connectedAt: 1, disconnectedAt: null, at: 1 }]);
          await store.saveClientStates([{ clientid: text, connected: false, node: null, connectedAt: null, disconnectedAt: 2, at: 2 }]);
          expect(await store.getClientState(text)).toEqual({
            clientid: text,
            connected: false,
            node: null,
            connectedAt: 1,
            disconnectedAt: 2,
            at: 2,
          });
        }
        expect((await store.positionsOfTopic('key')).map(({ consumer }) => consumer)).toEqual(['', 'sha256:x', 'é'.repeat(600)]);
      });

      it('separates tables of another prefix', async () => {
        const other = new TestTables(server, `other_${process.pid}_`);
        const there = other.open();
        await there.migrate();
        const saved = message({ topic });
        await there.saveMessages([saved]);
        expect(await store.getMessage(saved.id)).toBeNull();
        await there.close();
        await other.drop();
      });
    });
  });
});
