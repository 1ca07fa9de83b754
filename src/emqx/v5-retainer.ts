import { RefusedError, RetryableError } from '../base/errors';
import type { HttpAnswer } from './http';
import { pathSegment } from './path-segment';
import type { RetainerApi } from './retainer';
import { codeOf, isObject, parseJson, reasonOf, rejected } from './v5-answer';

const PAGE = 100;
/** EMQX retains a few messages of its own for each node. */
const OWN_TOPICS = /^\$SYS\//;

export interface RetainerV5Deps {
  /** GET under EMQX_URL, with retries. `read` throws RetryableError for an answer that decides nothing. */
  readonly get: <T>(path: string, read: (answer: HttpAnswer) => T) => Promise<T>;
  readonly shownUrl: string;
  readonly now: () => number;
}

interface ListPage {
  readonly entries: readonly { readonly topic: string; readonly at: number }[];
  readonly more: boolean;
}

/** EMQX 5 and 6: /mqtt/retainer, and the nodes' uptime. */
export class RetainerV5 implements RetainerApi {
  constructor(private readonly deps: RetainerV5Deps) {}

  isOn(): Promise<boolean> {
    return this.get('/mqtt/retainer', (json) => json['enable'] !== false);
  }

  startedAt(): Promise<number | null> {
    return this.deps.get('/nodes', (answer) => {
      const nodes = parseJson(answer.body);
      if (answer.status !== 200 || !Array.isArray(nodes)) throw this.unusable(answer);
      const running = nodes.filter(isObject).filter((node) => String(node['node_status']).toLowerCase() === 'running');
      const uptimes = running.map((node) => node['uptime']).filter((uptime) => typeof uptime === 'number');
      // The broker's clock, like the times of its messages.
      const now = Date.parse(answer.date ?? '') || this.deps.now();
      return uptimes.length === 0 ? null : now - Math.max(...uptimes);
    });
  }

  /**
   * EMQX lists messages by time of publishing, oldest first, so the first page with messages of clients has the oldest.
   */
  async oldest(): Promise<number | null> {
    for (let page = 1; ; page++) {
      const { entries, more } = await this.page(page);
      const times = entries.filter(({ topic }) => !OWN_TOPICS.test(topic)).map(({ at }) => at);
      if (times.length > 0) return Math.min(...times);
      if (!more) return null;
    }
  }

  async idOf(topic: string): Promise<string | null> {
    return this.deps.get(`/mqtt/retainer/message/${pathSegment(topic)}`, (answer) => {
      if (answer.status === 404 && codeOf(answer.body) === 'NOT_FOUND') return null;
      const json = parseJson(answer.body);
      if (answer.status !== 200 || !isObject(json) || typeof json['msgid'] !== 'string') throw this.unusable(answer);
      return json['msgid'];
    });
  }

  private page(page: number): Promise<ListPage> {
    return this.get(`/mqtt/retainer/messages?page=${page}&limit=${PAGE}`, (json, answer) => {
      const { data, meta } = json;
      if (!Array.isArray(data)) throw this.unusable(answer);
      const entries = data
        .filter(isObject)
        .map((entry) => ({ topic: String(entry['topic']), at: Date.parse(String(entry['publish_at'])) }));
      // A message with an unreadable time could be the one that shows that the broker kept its messages.
      if (entries.some(({ at }) => Number.isNaN(at))) throw new RetryableError('EMQX lists a retained message without a time (publish_at)');
      const more = isObject(meta) && typeof meta['hasnext'] === 'boolean' ? meta['hasnext'] : data.length === PAGE;
      return { entries, more };
    });
  }

  private get<T>(path: string, read: (json: Record<string, unknown>, answer: HttpAnswer) => T): Promise<T> {
    return this.deps.get(path, (answer) => {
      const json = parseJson(answer.body);
      if (answer.status !== 200 || !isObject(json)) throw this.unusable(answer);
      return read(json, answer);
    });
  }

  /** A 400 means that EMQX keeps its retained messages in another database, which this API can't read. */
  private unusable(answer: HttpAnswer): Error {
    if (answer.status === 400) return new RefusedError(`EMQX does not list its retained messages: ${reasonOf(answer)}`);
    return rejected(answer, this.deps.shownUrl);
  }
}
