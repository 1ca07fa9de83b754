import { pacedFromNow } from '../../base/pace';
import { matches } from '../../mqtt/topic';
import { isStorableId, type Message } from '../../mqtt/message';
import type { AppOptions } from '../options';
import { browseFilter, browseTopic, purge } from '../browse';
import { decodeCursor, encodeCursor } from '../cursor';
import { messageView } from '../message-view';
import { Problem, validationProblem } from '../../door/problem';
import { queryReader } from '../query';
import { pathParameter, type Route } from '../route';
import type { HttpServices } from '../services';

/** How often a long purge writes its progress to the log (ms). */
const PROGRESS_MS = 5_000;

const listQuery = queryReader('/v1/messages', 'get', 'listMessages');
const purgeQuery = queryReader('/v1/messages', 'delete', 'purgeMessages');

export function messageRoutes({ store, metrics }: HttpServices, { tombstoneMs, log, now = Date.now }: AppOptions): Route[] {
  /** Answers 404 for an expired message, even if the store has not deleted it yet. */
  const find = async (id: string): Promise<Message> => {
    // Some databases answer other ids with an error.
    const message = isStorableId(id) ? await store.getMessage(id) : null;
    if (message === null || (message.expiresAt !== null && message.expiresAt <= now())) {
      throw new Problem('not-found', 'No message with this id is stored.');
    }
    return message;
  };

  return [
    {
      method: 'get',
      path: '/v1/messages',
      async handle(req, res) {
        const { topic, filter, after, limit = 100 } = listQuery(req);
        if (topic !== undefined && filter !== undefined)
          throw validationProblem([{ path: 'filter', message: 'must not be given together with topic' }]);
        const belongs = (of: string): boolean => (topic === undefined ? matches(filter ?? '#', of) : of === topic);
        const query = { limit, now: now(), after: after === undefined ? null : decodeCursor(after, belongs) };
        const page = topic === undefined ? await browseFilter(store, filter ?? '#', query) : await browseTopic(store, topic, query);
        res.json({ messages: page.messages.map(messageView), next: page.next === null ? null : encodeCursor(page.next) });
      },
    },
    {
      method: 'delete',
      path: '/v1/messages',
      async handle(req, res) {
        const { filter } = purgeQuery(req);
        const tell = pacedFromNow(
          PROGRESS_MS,
          (soFar: number) => log.info({ filter, removed: soFar }, 'purge: messages are being removed'),
          now,
        );
        const removed = await purge(store, filter, now() + tombstoneMs, tell);
        metrics.messagesRemoved.inc(removed);
        res.json({ removed });
      },
    },
    {
      method: 'get',
      path: '/v1/messages/:id',
      async handle(req, res) {
        res.json(messageView(await find(pathParameter(req, 'id'))));
      },
    },
    {
      method: 'delete',
      path: '/v1/messages/:id',
      async handle(req, res) {
        const { id, topic } = await find(pathParameter(req, 'id'));
        const removed = await store.removeMessages([{ id, topic }], now() + tombstoneMs);
        metrics.messagesRemoved.inc(removed);
        res.status(204).end();
      },
    },
  ];
}
