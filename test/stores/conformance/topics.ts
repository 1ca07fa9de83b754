import type { Message } from '../../../src/mqtt/message';
import { matches } from '../../../src/mqtt/topic';
import { message } from '../../support/messages';
import { uniqueTopic, type Subject } from '../conformance';

/** Topics matching a filter (promise 15). */
export function topics(subject: Subject): void {
  describe('topics', () => {
    const base = uniqueTopic();
    const stored = ['', '/a', '/a/b', '/a/b/c', '/a/x/c', '/b', '/a%', '/a_b', '/aa', '//', '/A', '/é', '/1/2/3/4/5/6/7/8/9/10'].map(
      (tail) => `${base}${tail}`,
    );
    const sorted = (list: readonly string[]) => [...list].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));

    beforeAll(async () => {
      await subject.store.saveMessages([...stored, ...stored].map((topic) => message({ topic })));
      await subject.store.saveMessages([message({ topic: `$${base}/a` })]);
    });

    const filters = ['', '/#', '/+', '/+/b', '/a/+/c', '/a/#', '/+/+/+', '/a%', '/a_b', '/a%/#', '//', '/none', '/+/2/+/4/#', '/A'];
    it.each(filters.map((tail) => `${base}${tail}`))('that match %s are found once each, in order', async (filter) => {
      const expected = sorted(stored.filter((topic) => matches(filter, topic)));
      expect(await subject.store.listTopics({ filter, after: '', limit: 100 })).toEqual(expected);
    });

    it('are listed in pages, and the limit counts matching topics', async () => {
      const filter = `${base}/+`;
      const expected = sorted(stored.filter((topic) => matches(filter, topic)));
      const found: string[] = [];
      for (let page = await subject.store.listTopics({ filter, after: '', limit: 2 }); page.length > 0;) {
        expect(page.length).toBeLessThanOrEqual(2);
        found.push(...page);
        page = await subject.store.listTopics({ filter, after: page.at(-1)!, limit: 2 });
      }
      expect(found).toEqual(expected);
    });

    it('are sorted by code point, not as JavaScript compares text', async () => {
      const own = uniqueTopic();
      const names = ['\ud7ff', '\uffee', '\ufffd', '😀', '😀/x', '😀\uffee'].map((text) => `${own}/${text}`);
      await subject.store.saveMessages([...names].reverse().map((topic) => message({ topic })));
      for (const [i, after] of names.entries()) {
        expect(await subject.store.listTopics({ filter: `${own}/#`, after, limit: 10 })).toEqual(names.slice(i + 1));
        expect(await subject.store.listTopics({ filter: `${names[3]}/#`, after, limit: 10 })).toEqual(names.slice(Math.max(i + 1, 3), 5));
      }
    });

    it('that sort between a topic and its children do not match its filter', async () => {
      const own = uniqueTopic();
      const names = [own, `${own}!`, `${own}-1/x`, `${own}.`, `${own}/`, `${own}/x`, `${own}0`];
      await subject.store.saveMessages(names.map((topic) => message({ topic })));
      expect(await subject.store.listTopics({ filter: `${own}/#`, after: '', limit: 10 })).toEqual([own, `${own}/`, `${own}/x`]);
      expect(await subject.store.listTopics({ filter: `${own}/#`, after: own, limit: 10 })).toEqual([`${own}/`, `${own}/x`]);
      expect(await subject.store.listTopics({ filter: `${own}/#`, after: `${own}-1/x`, limit: 1 })).toEqual([`${own}/`]);
      expect(await subject.store.listTopics({ filter: `${own}/#`, after: '', limit: 0 })).toEqual([]);
    });

    it('that begin with $ are not found by a wildcard in the first level', async () => {
      const rest = base.slice(base.indexOf('/'));
      expect(await subject.store.listTopics({ filter: `+${rest}/a`, after: '', limit: 10 })).toEqual([`${base}/a`]);
      expect(await subject.store.listTopics({ filter: `$conformance${rest}/#`, after: '', limit: 10 })).toEqual([`$${base}/a`]);
    });

    // A subscription with a wildcard would not find the messages that are left.
    it('are listed as long as one of their messages is stored, whichever others are removed or trimmed', async () => {
      const { store } = subject;
      const topic = uniqueTopic();
      const [first, second, third, last] = [1, 2, 3, 4].map(() => message({ topic })) as [Message, Message, Message, Message];
      const remove = (each: Message) => () => store.removeMessages([each], Date.now() + 60_000);
      await store.saveMessages([first, second, third, last]);
      for (const work of [remove(second), remove(last), () => store.trimTopic(topic, 1), remove(last)]) {
        await work();
        expect(await store.listTopics({ filter: `${topic}/#`, after: '', limit: 10 })).toEqual([topic]);
      }
      await remove(third)();
      expect(await store.listTopics({ filter: `${topic}/#`, after: '', limit: 10 })).toEqual([]);
    });

    it('are not listed after their last message was removed', async () => {
      const gone = message({ topic: `${base}/gone` });
      await subject.store.saveMessages([gone]);
      await subject.store.removeMessages([gone], Date.now() + 1_000);
      expect(await subject.store.listTopics({ filter: `${base}/gone/#`, after: '', limit: 10 })).toEqual([]);
    });
  });
}
