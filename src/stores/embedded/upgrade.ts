import { groupBy } from '../../base/parallel';
import { NUMBER_BYTES, readNumber } from '../../embedded/keys';
import type { Table } from '../../embedded/table';
import { CHANGED_AT_ONCE, type Database } from './database';
import { messageKey } from './ids';
import { PREFIX_BYTES, type Stored } from './log';
import type { MessageTables } from './message-tables';
import { FORMAT, type Meta } from './meta';
import { expiresAt, publishReceivedAt, toHeader } from './rows';
import { TimeIndex } from './time-index';

/** Flags in the first byte of an entry of format 2. */
const [TOMBSTONE, HAS_BODY, EXPIRES, GROUPED] = [0, 2, 4, 8];

const MOVE = 'bring messages and tombstones to format 3';

/** Brings the tables to this release's format. */
export class Upgrade {
  /** Where format 1 has its tombstones. */
  private readonly singles: TimeIndex;
  /** Where formats 1 and 2 have messages by topic and id, and an entry for each id of a message or a tombstone. */
  private readonly rows: Table;
  private readonly ids: Table;

  constructor(
    private readonly db: Database,
    private readonly meta: Meta,
    private readonly tables: MessageTables,
  ) {
    this.singles = new TimeIndex(db.table('expiry'), 'tombstone');
    this.rows = db.table('messages');
    this.ids = db.table('ids');
  }

  /** What run() would do. */
  pending(): string[] {
    const { format, isMoving } = this.meta;
    if (format >= FORMAT) return isMoving ? [MOVE] : [];
    return format === 0 ? ['create the tables'] : [...(format === 1 ? ['list the tombstones'] : []), MOVE];
  }

  /**
   * Lists the tombstones of format 1, then moves everything to its new place. A process that dies in the middle leaves
   * the rest where it was, and the next one goes on with that. From the first move on, earlier releases refuse the
   * store, because they would miss what has been moved.
   * @throws SettingError if a later release has written the store.
   */
  async run(): Promise<void> {
    await this.db.read(() => this.meta.refuseLater());
    if (this.meta.format < FORMAT) {
      while (await this.db.write(() => this.listTombstones()));
      await this.db.write(() => this.begin());
    }
    if (!this.meta.isMoving) return;
    while (await this.db.write(() => this.move()));
    await this.db.write(() => this.meta.setMoving(false));
  }

  /** @returns whether there may be more. */
  private listTombstones(): boolean {
    const old = this.singles.due(Infinity, CHANGED_AT_ONCE);
    for (const { key, time } of old) this.singles.remove(time, key);
    for (const [time, own] of groupBy(old, (each) => each.time))
      this.tables.tombstones.list(
        own.map(({ key }) => key),
        time,
      );
    return old.length === CHANGED_AT_ONCE;
  }

  /** Everything that is there goes into the index by topic. */
  private begin(): void {
    const last = this.ids.last();
    if (last !== undefined) {
      this.meta.setIndexedTo(last);
      this.meta.setMoving(true);
    }
    this.meta.setFormat();
    // A store that was read already has read this from the older tables.
    this.meta.nextChange();
  }

  /** In the order of the ids. @returns whether there may be more. */
  private move(): boolean {
    const entries = Array.from(this.ids.entries({ limit: CHANGED_AT_ONCE }));
    for (const { key: id, value } of entries) {
      if (value[0] === TOMBSTONE) this.tables.tombstones.put(id, readNumber(value, 1));
      else this.moveMessage(id, value);
      this.ids.remove(id);
    }
    return entries.length === CHANGED_AT_ONCE;
  }

  /** Bodies stay where they are. */
  private moveMessage(id: Buffer, entry: Buffer): void {
    const flags = entry[0] ?? 0;
    const topic = readNumber(entry, 1);
    const key = messageKey(topic, id);
    const row = this.rows.get(key);
    if (row === undefined) return;
    const stored: Stored = {
      topic,
      expiresAt: expiresAt(row),
      publishReceivedAt: publishReceivedAt(row),
      group: (flags & GROUPED) === 0 ? 0 : readNumber(entry, 1 + ((flags & EXPIRES) === 0 ? 1 : 2) * NUMBER_BYTES),
      hasBody: (flags & HAS_BODY) !== 0,
    };
    this.tables.log.append(id, stored, Buffer.concat([Buffer.alloc(PREFIX_BYTES), row]));
    this.tables.byTopic.put(key, toHeader(stored));
    this.rows.remove(key);
  }
}
