import { matches } from '../../mqtt/topic';
import { decodeCursor, encodeCursor } from '../cursor';
import type { AppOptions } from '../options';
import { queryReader } from '../query';
import type { Route } from '../route';
import type { HttpServices } from '../services';

const listQuery = queryReader('/v1/topics', 'get', 'listTopics');

export function topicRoutes({ store }: HttpServices, { now = Date.now }: AppOptions): Route[] {
  return [
    {
      method: 'get',
      path: '/v1/topics',
      async handle(req, res) {
        const { filter = '#', after, limit = 100 } = listQuery(req);
        const from = after === undefined ? '' : decodeCursor(after, (topic) => matches(filter, topic)).topic;
        // The read asks for one topic more than needed, to know whether there is a next page.
        const found = await store.listTopics({ filter, after: from, limit: limit + 1 });
        const page = found.slice(0, limit);
        const counts = await store.topicCounts(page, now());
        const topics = page.flatMap((topic) => {
          const { messages, oldestAt } = counts.get(topic) ?? { messages: 0, oldestAt: null };
          // The store lists a topic whose messages have all expired until they are deleted.
          if (messages === 0) return [];
          // 0 stands for a time that the row of a taken over table does not have.
          return [{ topic, messages, oldest_at: oldestAt === 0 ? null : oldestAt }];
        });
        const last = page.at(-1);
        res.json({ topics, next: found.length > limit && last !== undefined ? encodeCursor({ topic: last, id: null }) : null });
      },
    },
  ];
}
