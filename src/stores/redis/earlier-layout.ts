import type { MessageRef } from '../../mqtt/message';
import type { Command, Database } from './database';
import type { Keys } from './keys';
import type { MessageIndex } from './message-index';
import { BURY } from './message-scripts';

const PER_STEP = 500;

/**
 * Brings along what earlier releases wrote: two sets for each topic, a set of expiries, and a key for each tombstone
 * (migrations/redis/004_lives.md). Each step can be repeated. Another server may have migrated already, and may remove messages meanwhile.
 */
export class EarlierLayout {
  constructor(
    private readonly db: Database,
    private readonly keys: Keys,
    private readonly index: MessageIndex,
  ) {}

  /** Tombstones come first, because they must hold before anything else is written. */
  async bringAlong(): Promise<void> {
    await this.tombstones();
    for (const kind of ['msg', 'msg-topic'] as const) await this.topicSets(kind);
    await this.expiries();
    await this.idSets();
  }

  private async tombstones(): Promise<void> {
    for await (const page of this.db.scan(this.keys.all('msg-gone'))) {
      const until = await this.db.all<string | null>(page.map((key) => ['GET', key]));
      await this.db.all(
        page.flatMap((key, i): Command[] =>
          until[i] == null ? [] : [['EVAL', BURY, 1, this.keys.lives, until[i], this.keys.rest('msg-gone', key)]],
        ),
      );
      await this.db.all(page.map((key) => ['DEL', key]));
    }
  }

  /** An entry leaves the old set when its message has all new ones. */
  private async expiries(): Promise<void> {
    for (;;) {
      const entries = await this.db.one<string[]>('ZRANGE', this.keys.expiry, 0, PER_STEP - 1);
      if (entries.length === 0) return;
      await this.adoptMissing(entries.map(parseEntry));
      await this.db.one('ZREM', this.keys.expiry, ...entries);
    }
  }

  private async idSets(): Promise<void> {
    for await (const page of this.db.scan(this.keys.all('msg-ids'))) {
      for (const key of page) {
        const topic = this.keys.rest('msg-ids', key);
        for (;;) {
          const ids = await this.db.one<string[]>('ZRANGE', key, 0, PER_STEP - 1);
          if (ids.length === 0) break;
          await this.adoptMissing(ids.map((id) => ({ id, topic })));
          await this.db.one('ZREM', key, ...ids);
        }
      }
    }
  }

  private async topicSets(kind: 'msg' | 'msg-topic'): Promise<void> {
    for await (const page of this.db.scan(this.keys.all(kind))) {
      const types = await this.db.all<string>(page.map((key) => ['TYPE', key]));
      for (const key of page.filter((_, i) => types[i] === 'zset')) {
        const topic = this.keys.rest(kind, key);
        if (this.keys.topic(topic) === key) await this.topicSet(key, topic);
      }
    }
  }

  private async topicSet(key: string, topic: string): Promise<void> {
    let cursor = '0';
    do {
      const [next, entries] = await this.db.one<[string, string[]]>('ZSCAN', key, cursor, 'COUNT', PER_STEP);
      const refs = entries.flatMap((id, i) => (i % 2 === 0 ? [{ id, topic }] : []));
      if (refs.length > 0) await this.adopt(refs);
      cursor = next;
    } while (cursor !== '0');
  }

  /** A process may have died before it had written the message into its topic's set, through which topicSets() finds the others. */
  private async adoptMissing(refs: readonly MessageRef[]): Promise<void> {
    const scores = await this.db.all<string | null>(refs.map(({ id, topic }) => ['ZSCORE', this.keys.topic(topic), id]));
    const missing = refs.filter((_, i) => scores[i] === null);
    if (missing.length > 0) await this.adopt(missing);
  }

  /**
   * Writes all entries of these messages, in the order of a save, and removes ids without a message from the topics' sets. EMQX leaves such
   * ids when Redis has expired a message. A message that another server removes meanwhile has a tombstone, or is found by the last look.
   */
  private async adopt(refs: readonly MessageRef[]): Promise<void> {
    const now = Date.now();
    const found = await this.db.all<(string | null)[]>(refs.map(({ id }) => ['HMGET', this.keys.message(id), 'topic', 'expires_at']));
    const messages = refs.flatMap((ref, i) => {
      const [topic, expires] = found[i] ?? [];
      return topic == null ? [] : [{ ...ref, expiresAt: expires == null ? null : Number(expires) }];
    });
    if (messages.length > 0) await this.index.begin(messages, now);
    await this.db.all(messages.map(({ id }) => ['PERSIST', this.keys.message(id)]));
    await this.index.add(messages);
    await this.index.addTopics(messages);
    await this.index.removeMissing(refs, now);
  }
}

/** `{id}:{topic}`. An id contains no colon. */
function parseEntry(entry: string): MessageRef {
  const colon = entry.indexOf(':');
  return { id: entry.slice(0, colon), topic: entry.slice(colon + 1) };
}
