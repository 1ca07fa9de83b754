import { createHash } from 'node:crypto';
import { RefusedError } from '../../base/errors';
import type { TakeoverCount } from '../../base/migration';
import type { Command, Database } from './database';
import { isEmqxId, type Keys } from './keys';
import type { MessageIndex } from './message-index';
import { fromPairs } from './rows';
import type { Positions } from './positions';
import type { Retained } from './retained';
import { ADOPT, ADOPT_RETAINED } from './scripts';

/** The fields of EMQX's message that are needed to index it. */
interface Found {
  readonly oldId: string;
  readonly id: string;
  readonly topic: string;
  readonly publishReceivedAt: number;
  readonly expiresAt: number | null;
}

/** The keys of EMQX's that are taken over, in this order. */
const TAKEN = [
  { kind: 'acked', type: 'string' },
  { kind: 'msg', type: 'hash' },
  { kind: 'retain', type: 'hash' },
] as const;

/** Takes over the keys of EMQX's plugin (migrations/redis/001_index_messages.md). */
export class Takeover {
  constructor(
    private readonly db: Database,
    private readonly keys: Keys,
    private readonly parts: { readonly index: MessageIndex; readonly retained: Retained; readonly positions: Positions },
  ) {}

  /** Takes over every key. `onKeys` hears after each page how many it had. */
  async run(onKeys: (keys: number) => void): Promise<void> {
    await this.check();
    const works = { acked: this.positions, msg: this.messages, retain: this.retained } as const;
    for (const { kind, type } of TAKEN) {
      for await (const page of this.db.scan(this.keys.all(kind))) {
        const taken = (await this.ofType(page, type)).length;
        await works[kind].call(this, page);
        onKeys(taken);
      }
    }
  }

  /** How many keys run() would take over. A key that comes twice in a scan is counted twice. */
  async count(): Promise<TakeoverCount[]> {
    await this.check();
    const counts: TakeoverCount[] = [];
    for (const { kind, type } of TAKEN) {
      let rows = 0;
      for await (const page of this.db.scan(this.keys.all(kind))) rows += (await this.ofType(page, type)).length;
      if (rows > 0) counts.push({ table: this.keys.all(kind), rows });
    }
    return counts;
  }

  /**
   * Indexes clients and positions by time (migrations/redis/002_index_seen.md). Times that another server has written
   * meanwhile stay.
   */
  async noteSeen(): Promise<void> {
    const now = Date.now();
    for await (const page of this.db.scan(this.keys.all('client'))) {
      await this.db.all(page.map((key) => ['ZADD', this.keys.clientsSeen, 'NX', now, this.keys.rest('client', key)]));
    }
    for await (const page of this.db.scan(this.keys.all('acked-by'))) {
      const consumers = page.map((key) => this.keys.rest('acked-by', key));
      const topics = await this.db.all<string[]>(page.map((key) => ['HKEYS', key]));
      const members = consumers.flatMap((consumer, i) => (topics[i] ?? []).map((topic) => JSON.stringify([consumer, topic])));
      await this.db.all(members.map((member) => ['ZADD', this.keys.positionsSeen, 'NX', now, member]));
    }
  }

  private async check(): Promise<void> {
    const { topics, lives, expiry, retainedTopics } = this.keys;
    const own = [topics, lives, expiry, retainedTopics];
    this.refuse(own, await this.types(own), ['none', 'zset']);
    for await (const page of this.db.scan(this.keys.all('msg'))) {
      const types = await this.types(page);
      this.refuse(page, types, ['none', 'zset', 'hash']);
      const hashes = page.filter((_, i) => types[i] === 'hash');
      const named = await this.db.all<number>(hashes.map((key) => ['HEXISTS', key, 'topic']));
      const nameless = hashes.filter((_, i) => named[i] === 0);
      // A message that Redis has just expired is not there any more.
      const [stranger] = await this.ofType(nameless, 'hash');
      if (stranger !== undefined) throw refusal(`${stranger} has no field topic`);
    }
    for await (const page of this.db.scan(this.keys.all('retain'))) this.refuse(page, await this.types(page), ['none', 'hash']);
  }

  private types(keys: readonly string[]): Promise<string[]> {
    return this.db.all<string>(keys.map((key) => ['TYPE', key]));
  }

  private refuse(keys: readonly string[], types: readonly string[], allowed: readonly string[]): void {
    const wrong = types.findIndex((type) => !allowed.includes(type));
    if (wrong >= 0) throw refusal(`${keys[wrong] ?? ''} is a ${types[wrong] ?? ''}`);
  }

  private async ofType(keys: readonly string[], wanted: string): Promise<string[]> {
    const types = await this.types(keys);
    return keys.filter((_, i) => types[i] === wanted);
  }

  private async messages(page: readonly string[]): Promise<void> {
    const found = await this.describe((await this.ofType(page, 'hash')).map((key) => this.keys.rest('msg', key)));
    for (const message of found.filter(({ id, oldId }) => id !== oldId)) await this.rename(message);
    const adopted = await this.db.all<number>(found.map(({ id, expiresAt }) => ['EVAL', ADOPT, 1, this.keys.message(id), expiresAt ?? '']));
    await this.enter(found.filter((_, i) => adopted[i] === 1));
    await this.db.all(found.flatMap((message) => (message.id === message.oldId ? [] : this.forgetOld(message))));
    // The ids in these sets are indexed under another key, or gone.
    const misnamed = (await this.ofType(page, 'zset')).filter((key) => isEmqxId(this.keys.rest('msg', key)));
    await this.db.all(misnamed.map((key) => ['DEL', key]));
  }

  /**
   * Writes the entries of messages. Another server may have migrated already, and may remove messages meanwhile. A removed message has a
   * tombstone, and rename() may have brought it back. One that was removed without a tombstone is found by the last look.
   */
  private async enter(messages: readonly Found[]): Promise<void> {
    if (messages.length === 0) return;
    const { index } = this.parts;
    const now = Date.now();
    const removed = await index.begin(messages, now);
    await this.db.all([...removed].map((id) => ['DEL', this.keys.message(id)]));
    await index.add(messages);
    await index.addTopics(messages);
    await index.removeMissing(messages, now);
  }

  /** The time to live is read first. Another server that takes it away has written it into the field expires_at. */
  private async describe(ids: readonly string[]): Promise<Found[]> {
    const left = await this.db.all<number>(ids.map((id) => ['PTTL', this.keys.emqxMsg(id)]));
    const fields = await this.db.all<(string | null)[]>(ids.map((id) => ['HMGET', this.keys.emqxMsg(id), 'topic', 'ts', 'expires_at']));
    return ids.flatMap((oldId, i) => {
      const [topic, ts, expires] = fields[i] ?? [];
      if (topic == null) return [];
      const ttl = left[i] ?? -1;
      const expiresAt = expires != null ? Number(expires) : ttl > 0 ? Date.now() + ttl : null;
      return [{ oldId, id: sortableId(oldId, Number(ts ?? 0)), topic, publishReceivedAt: Number(ts ?? 0), expiresAt }];
    });
  }

  /**
   * Makes a copy, because on a cluster the new key may be on another node. Redis may have expired the message
   * meanwhile. The copy has its time of expiry from the beginning, because another server may find it before this one
   * goes on.
   */
  private async rename({ oldId, id, expiresAt }: Found): Promise<void> {
    const fields = fromPairs(await this.db.one<Buffer[]>('HGETALLBuffer', this.keys.emqxMsg(oldId)));
    if (fields['topic'] === undefined) return;
    const copy = { ...fields, id, msgid_before: oldId, ...(expiresAt !== null && { expires_at: expiresAt }) };
    await this.db.one('HSET', this.keys.message(id), ...Object.entries(copy).flat());
  }

  private forgetOld({ oldId, topic }: Found): Command[] {
    return [
      ['ZREM', this.keys.topic(topic), oldId],
      ['DEL', this.keys.emqxMsg(oldId)],
    ];
  }

  private async retained(page: readonly string[]): Promise<void> {
    const topics = page.map((key) => this.keys.rest('retain', key));
    const times = await this.db.all<string | null>(page.map((key) => ['HGET', key, 'ts']));
    const idOf = (time: string | null | undefined): string => `${hex16(Number(time ?? 0) * 1_000)}${'0'.repeat(16)}`;
    const adopted = await this.db.all<number>(page.map((key, i) => ['EVAL', ADOPT_RETAINED, 1, key, topics[i] ?? '', idOf(times[i])]));
    await this.parts.retained.topicIndex.add(topics.filter((_, i) => adopted[i] === 1));
    // Another server that has migrated already may have deleted some of them meanwhile.
    await this.parts.retained.topicIndex.removeEmpty(topics);
  }

  private async positions(page: readonly string[]): Promise<void> {
    for (const key of await this.ofType(page, 'string')) {
      const pair = await this.split(this.keys.rest('acked', key));
      const msgid = await this.db.one<string | null>('GET', key);
      if (pair === null || msgid === null) continue;
      const [message] = await this.describe([msgid]);
      if (message !== undefined) await this.parts.positions.putPositions([{ ...pair, id: message.id, receipts: [] }]);
    }
  }

  /** Splits `{clientid}:{topic}`, where both may contain colons. The topic that has messages decides. */
  private async split(text: string): Promise<{ consumer: string; topic: string } | null> {
    const pairs = [...text.matchAll(/:/g)].map(({ index }) => ({ consumer: text.slice(0, index), topic: text.slice(index + 1) }));
    const exists = await this.db.all<number>(pairs.map(({ topic }) => ['EXISTS', this.keys.emqxMsg(topic)]));
    return pairs.find((_, i) => exists[i] === 1) ?? pairs[0] ?? null;
  }
}

/** base62 ids don't sort by time. */
function sortableId(id: string, ts: number): string {
  if (/^[0-9A-F]{32}$/.test(id)) return id;
  return hex16(ts * 1_000) + createHash('sha1').update(id).digest('hex').slice(0, 16).toUpperCase();
}

const hex16 = (value: number): string => Math.max(0, Math.trunc(value)).toString(16).toUpperCase().padStart(16, '0');

const refusal = (reason: string): RefusedError => new RefusedError(`the keys cannot be taken over: ${reason}; nothing was changed`);
