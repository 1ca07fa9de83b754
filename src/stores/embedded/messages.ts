import type { Message, MessageRef } from '../../mqtt/message';
import { prefixed, type Entry, type Table } from '../../embedded/table';
import { numberKey } from '../../embedded/keys';
import type { MessageQuery, MessageStore, Purged, Refusal, StoredRef, TopicCount, TopicQuery } from '../store';
import { CHANGED_AT_ONCE, timeOf, type Database } from './database';
import { idBytes, idOf, Ids, keyBehind, messageKey } from './ids';
import type { Meta } from './meta';
import { Oldest } from './oldest';
import { bodyOf, expiresAt, publishReceivedAt, split, toBytes, toMessage } from './rows';
import { TimeIndex } from './time-index';
import { Tally, Topics } from './topics';

/** Many messages with great payloads are written in several transactions: everybody else waits while one runs. */
const BYTES_AT_ONCE = 4_194_304;

type Row = readonly [message: Message, id: Buffer, bytes: Buffer];

/** Messages in their order, their ids, topics, expiry and tombstones. */
export class Messages implements MessageStore {
  private readonly rows: Table;
  private readonly bodies: Table;
  private readonly ids: Ids;
  readonly topics: Topics;
  private readonly expiry: TimeIndex;
  private readonly tombstones: TimeIndex;
  private readonly oldest: Oldest;

  constructor(
    private readonly db: Database,
    meta: Meta,
  ) {
    this.rows = db.table('messages');
    this.bodies = db.table('bodies');
    this.ids = new Ids(db);
    this.topics = new Topics(db, meta);
    const times = db.table('expiry');
    this.expiry = new TimeIndex(times, 'message');
    this.tombstones = new TimeIndex(times, 'tombstone');
    this.oldest = new Oldest(db, this.ids, this.rows);
  }

  async saveMessages(messages: readonly Message[]): Promise<Refusal[]> {
    const refused: Refusal[] = [];
    let [rows, size]: [Row[], number] = [[], 0];
    for (const message of messages) {
      const id = idBytes(message.id);
      if (id === null) {
        refused.push({ id: message.id, reason: 'its id is empty or too long' });
        continue;
      }
      const bytes = toBytes(message);
      rows.push([message, id, bytes]);
      size += bytes.length;
      if (size < BYTES_AT_ONCE) continue;
      await this.saveRows(rows);
      [rows, size] = [[], 0];
    }
    await this.saveRows(rows);
    return refused;
  }

  private saveRows(rows: readonly Row[]): Promise<void> {
    return this.db.write(() => {
      const tally = new Tally(this.topics);
      const now = Date.now();
      for (const row of rows) this.save(row, tally, now);
      tally.write();
    });
  }

  private save([message, id, bytes]: Row, tally: Tally, now: number): void {
    const known = this.ids.get(id);
    if (known !== null) {
      if (known.topic !== null || known.until > now) return;
      this.tombstones.remove(known.until, id);
    }
    const topic = tally.numberOf(message.topic);
    const key = messageKey(topic, id);
    const { row, body } = split(bytes);
    const expires = message.expiresAt === null ? null : timeOf(message.expiresAt);
    this.rows.put(key, row);
    if (body !== null) this.bodies.put(key, body);
    if (expires !== null) this.expiry.add(expires, key);
    this.oldest.note(id);
    this.ids.putStored(id, { topic, expires, hasBody: body !== null });
    tally.add(topic, 1);
  }

  removeMessages(refs: readonly MessageRef[], tombstoneUntil: number): Promise<number> {
    const ids = refs.flatMap(({ id }) => idBytes(id) ?? []);
    return this.db.write(() => {
      const until = timeOf(tombstoneUntil);
      const tally = new Tally(this.topics);
      // One that is over already would keep nothing away.
      const removed = ids.filter((id) => this.removeStored(id, tally, until > Date.now() ? until : null)).length;
      tally.write();
      return removed;
    });
  }

  /** `until`: of the tombstone that it leaves, if it leaves one. @returns whether it was stored */
  private removeStored(id: Buffer, tally: Tally, until: number | null): boolean {
    const known = this.ids.get(id);
    const isStored = known !== null && known.topic !== null;
    if (isStored) {
      const key = messageKey(known.topic, id);
      this.rows.remove(key);
      if (known.hasBody) this.bodies.remove(key);
      if (known.expires !== null) this.expiry.remove(known.expires, key);
      tally.add(known.topic, -1);
      if (until === null) this.ids.remove(id);
    }
    if (until !== null) {
      const before = known === null || known.topic !== null ? null : known.until;
      if (before !== null && before >= until) return false;
      this.tombstones.move(before, until, id);
      this.ids.putTombstone(id, until);
    }
    return isStored;
  }

  getMessage(id: string): Promise<Message | null> {
    return this.db.read(() => {
      const bytes = idBytes(id);
      const known = bytes === null ? null : this.ids.get(bytes);
      if (bytes === null || known === null || known.topic === null) return null;
      const key = messageKey(known.topic, bytes);
      const row = this.rows.get(key);
      return row === undefined ? null : this.toMessage(this.topics.nameOf(known.topic), { key, value: row });
    });
  }

  private toMessage(topic: string, { key, value: row }: Entry): Message {
    return toMessage(idOf(key).toString(), topic, row, bodyOf(row) ?? (this.bodies.get(key) as Buffer));
  }

  listMessages(query: MessageQuery): Promise<Message[]> {
    return this.db.read(() => this.living(query).map((entry) => this.toMessage(query.topic, entry)));
  }

  listRefs(query: MessageQuery): Promise<StoredRef[]> {
    return this.db.read(() =>
      this.living(query).map(({ key, value }) => ({ id: idOf(key).toString(), publishReceivedAt: publishReceivedAt(value) })),
    );
  }

  private living({ topic, after, limit, now }: MessageQuery): Entry[] {
    const found: Entry[] = [];
    const number = this.topics.find(topic);
    if (number === null || limit <= 0) return found;
    for (const entry of prefixed(this.rows, numberKey(number), { from: keyBehind(number, after) })) {
      if (expiresAt(entry.value) > now && found.push(entry) >= limit) break;
    }
    return found;
  }

  listTopics(query: TopicQuery): Promise<string[]> {
    return this.db.read(() => this.topics.list(query));
  }

  async trimTopic(topic: string, keep: number): Promise<number> {
    let removed = 0;
    for (let step = CHANGED_AT_ONCE; step === CHANGED_AT_ONCE; removed += step) step = await this.db.write(() => this.trim(topic, keep));
    return removed;
  }

  private trim(topic: string, keep: number): number {
    const number = this.topics.find(topic);
    const surplus = number === null ? 0 : this.topics.countOf(number) - keep;
    if (number === null || surplus <= 0) return 0;
    const oldest = Array.from(prefixed(this.rows, numberKey(number), { limit: Math.min(surplus, CHANGED_AT_ONCE) }), ({ key }) =>
      idOf(key),
    );
    return this.removeAll(oldest);
  }

  /** Without tombstones. */
  private removeAll(ids: readonly Buffer[]): number {
    const tally = new Tally(this.topics);
    for (const id of ids) this.removeStored(id, tally, null);
    tally.write();
    return ids.length;
  }

  purgeExpired(now: number, limit: number): Promise<Purged> {
    return this.db.purge(limit, (step) => {
      const over = this.tombstones.due(now, step);
      for (const { key: id, time } of over) {
        this.tombstones.remove(time, id);
        this.ids.remove(id);
      }
      const removed = this.removeAll(this.expiry.due(now, step).map(({ key }) => idOf(key)));
      return { removed, more: removed >= step || over.length >= step };
    });
  }

  countMessages(): Promise<number> {
    return this.db.read(() => this.rows.count);
  }

  /** Reads the counts that it keeps, and the first message of each topic. */
  topicCounts(topics: readonly string[], now: number): Promise<ReadonlyMap<string, TopicCount>> {
    return this.db.read(
      () =>
        new Map(
          topics.map((topic) => {
            const number = this.topics.find(topic);
            const [oldest] = this.living({ topic, after: '', limit: 1, now });
            const messages = number === null ? 0 : this.topics.countOf(number);
            return [topic, { messages, oldestAt: oldest === undefined ? null : publishReceivedAt(oldest.value) }];
          }),
        ),
    );
  }

  oldestMessageAt(now: number): Promise<number | null> {
    return this.oldest.find(now);
  }
}
