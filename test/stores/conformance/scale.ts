import { message, newId } from '../../support/messages';
import { uniqueTopic, type Subject } from '../conformance';

const BATCH = 256;

/** Many messages, many topics. */
export function scale(subject: Subject): void {
  const save = async (topics: readonly string[]) => {
    const saved = topics.map((topic) => ({ topic, id: newId() }));
    for (let i = 0; i < saved.length; i += BATCH) {
      await subject.store.saveMessages(saved.slice(i, i + BATCH).map(({ topic, id }) => message({ topic, id })));
    }
    return saved;
  };

  describe('large numbers', () => {
    it('of messages in a topic are read in order, page by page', async () => {
      const topic = uniqueTopic();
      const saved = await save(Array.from({ length: subject.harness.many }, () => topic));
      const found: string[] = [];
      for (let after = ''; ; after = found.at(-1) ?? '') {
        const page = await subject.store.listMessages({ topic, after, limit: 1_000, now: Date.now() });
        if (page.length === 0) break;
        found.push(...page.map(({ id }) => id));
      }
      expect(found).toEqual(saved.map(({ id }) => id));
      expect(await subject.store.trimTopic(topic, 10)).toBe(subject.harness.many - 10);
    }, 180_000);

    it('of topics are listed in order, page by page', async () => {
      const base = uniqueTopic();
      const names = Array.from({ length: subject.harness.many }, (_, i) => `${base}/${String(i).padStart(6, '0')}`);
      await save(names);
      const found: string[] = [];
      for (let after = ''; ; after = found.at(-1) ?? '') {
        const page = await subject.store.listTopics({ filter: `${base}/+`, after, limit: 1_000 });
        if (page.length === 0) break;
        found.push(...page);
      }
      expect(found).toEqual(names);
    }, 180_000);
  });
}
