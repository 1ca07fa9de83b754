import type { Table } from '../../embedded/table';
import type { Database } from './database';
import { Expiry } from './expiry';
import { textOf } from './ids';
import { Log } from './log';
import type { Meta } from './meta';
import { Oldest } from './oldest';
import { Recent } from './recent';
import { Tombstones } from './tombstones';
import { Topics } from './topics';

const NOTHING = Buffer.alloc(0);

/** Everything that is stored of messages. */
export class MessageTables {
  readonly log: Log;
  /** The index by topic and id, without the recent messages. The values are the headers of the rows. */
  readonly byTopic: Table;
  /** The bodies of long messages by topic and id. */
  readonly bodies: Table;
  readonly topics: Topics;
  readonly expiry: Expiry;
  readonly tombstones: Tombstones;
  readonly recent: Recent;
  readonly oldest: Oldest;

  constructor(db: Database, meta: Meta) {
    this.log = new Log(db);
    this.byTopic = db.table('by-topic');
    this.bodies = db.table('bodies');
    this.topics = new Topics(db, meta);
    this.expiry = new Expiry(db, meta, this.log);
    this.tombstones = new Tombstones(db, meta);
    this.recent = new Recent(meta, this.log);
    this.oldest = new Oldest(db, this.log);
  }

  /** The greatest id that has a message or a tombstone, as a text; empty if there is none. */
  greatestId(): string {
    const [message, tombstone] = [textOf(this.log.last() ?? NOTHING), textOf(this.tombstones.last() ?? NOTHING)];
    return message > tombstone ? message : tombstone;
  }
}
