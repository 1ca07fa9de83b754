import fc from 'fast-check';
import { parseServiceUrl } from '../../src/config/url';
import { Client } from '../../src/stores/dynamodb/client';
import { settingsOf } from '../../src/stores/dynamodb/settings';
import { TopicIndex } from '../../src/stores/dynamodb/topic-index';
import { compareText } from '../../src/stores/shared/order';
import { withBackends } from '../support/backends';
import { TestTables } from './dynamodb-tables';

/**
 * Topics as long as the key they are sorted by (900 bytes), a little shorter and longer, that differ there in
 * characters of 1 to 4 bytes.
 */
const nearTheCut = fc
  .tuple(fc.integer({ min: 890, max: 900 }), fc.array(fc.constantFrom('a', '/', 'é', '漢', '\uffee', '😀', '\u007f'), { maxLength: 6 }))
  .map(([length, end]) => `${'x'.repeat(length)}${end.join('')}`);
const anyTopic = fc.oneof(
  nearTheCut,
  fc.string({ minLength: 1, maxLength: 5, unit: 'binary' }).filter((text) => Buffer.from(text).toString() === text),
);

describe('dynamodb topics', () => {
  withBackends(['dynamodb'], ({ dynamodb: server }) => {
    const tables = new TestTables(server, `topics_${process.pid}_`);
    const client = new Client(settingsOf(parseServiceUrl(tables.url(), ['dynamodb'])));
    const index = new TopicIndex(client, 'mqtt_topic', 'shard');
    beforeAll(async () => {
      const store = tables.open();
      await store.migrate();
      await store.close();
    });
    afterAll(async () => {
      client.close();
      await tables.drop();
    });

    it('are in the order of their code points, page by page, whatever they are', async () => {
      let run = 0;
      await fc.assert(
        fc.asyncProperty(fc.uniqueArray(anyTopic, { maxLength: 40 }), fc.integer({ min: 1, max: 7 }), async (topics, limit) => {
          const partitions = ['0', '1', '2'].map((shard) => `${run}/${shard}`);
          run++;
          await index.add(topics.map((topic, i) => ({ partition: partitions[i % 3]!, topic })));
          const found: string[] = [];
          for (let after = ''; ; after = found.at(-1) ?? '') {
            const page = await index.list(partitions, { prefix: '', after, limit, accepts: () => true });
            if (page.length === 0) break;
            found.push(...page);
          }
          expect(found).toEqual([...topics].sort(compareText));
          const prefix = topics[0] ?? 'x';
          const expected = found.filter((topic) => topic.startsWith(prefix));
          expect(await index.list(partitions, { prefix, after: '', limit: 100, accepts: () => true })).toEqual(expected);
        }),
        { numRuns: 60 },
      );
    });
  });
});
