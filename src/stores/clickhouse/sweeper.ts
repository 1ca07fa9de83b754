import type { MessageRef } from '../../mqtt/message';
import type { Client } from './client';
import { COVERED, RETAINED_RANK as RANK } from './keys';
import { identifier, number } from './literal';
import type { Removals } from './removals';

const SECOND = 1_000_000;
const MINUTE = 60 * SECOND;

export interface SweepLimits {
  /** For fewer rows the parts of a table are not rewritten, unless the rows have waited for long. */
  readonly least: number;
  /** Microseconds since 1970. */
  readonly now: () => number;
}

const LIMITS: SweepLimits = { least: 10_000, now: () => Date.now() * 1_000 };
/** The share of a table's rows that is enough for a rewrite. */
const SHARE = 0.1;
/** The most keys of one mutation, because they are in the server's memory. */
const MOST = 500_000;
const ORPHANS_PER_RUN = 1_000;

/** After this time every insert that was running is in the table or has failed. */
const SETTLED = 2 * MINUTE;
/**
 * A removal or a deletion is forgotten this long after its end, because nothing that was stored before it can arrive
 * any more.
 */
const OVER = 10 * MINUTE;
const OLD = 60 * MINUTE;
/** Topics without messages are looked for this rarely, because it reads all topics. */
const TOPICS_EVERY = 10 * MINUTE;

const MESSAGE = 'cityHash64(topic, msgid)';

/**
 * Frees the disk space of what is removed already. Deleting rows rewrites the parts that contain them (a mutation, in
 * the background of the server). So it waits until there are enough rows, and starts one mutation at a time. If two
 * processes start one, both delete the same rows. All conditions concern rows that are removed for ever. If two keys
 * have the same hash, a row is only kept for longer.
 */
export class Sweeper {
  private topicsAt = 0;

  constructor(
    private readonly db: Client,
    private readonly removals: Removals,
    private readonly limits: SweepLimits = LIMITS,
  ) {}

  async run(): Promise<void> {
    const running = await this.db.count('SELECT count() AS n FROM system.mutations WHERE database = currentDatabase() AND is_done = 0');
    if (running > 0) return;
    const now = this.limits.now();
    const swept = await this.db.count(`SELECT max(removed_at) AS at FROM mqtt_swept WHERE name = 'mqtt_removed'`);
    const steps = [
      () => this.messages(now, swept),
      () => this.tombstones(now, swept),
      () => this.topics(now),
      () => this.pairs('mqtt_sub', 'version', now),
      () => this.pairs('mqtt_acked', 'written_at', now),
      () => this.states(now),
      () => this.retained(now),
    ];
    for (const step of steps) if (await step()) return;
  }

  /** The rows of mqtt_msg that removals since the last time name. */
  private async messages(now: number, swept: number): Promise<boolean> {
    const since = `stored_at > 0 AND removed_at > ${number(swept)}`;
    const [found] = await this.db.rows<{ n: number; first: number; last: number }>(
      `SELECT count() AS n, min(at) AS first, max(at) AS last FROM (
         SELECT removed_at AS at FROM mqtt_removed WHERE ${since} AND removed_at <= ${number(now - SETTLED)} ORDER BY removed_at LIMIT ${MOST})`,
    );
    if (found === undefined || found.n === 0) return false;
    if (found.n < (await this.enough('mqtt_msg')) && found.first > now - OLD) return false;
    await this.delete(
      'mqtt_msg',
      `(topic, msgid, stored_at) IN (SELECT topic, msgid, stored_at FROM ${this.name('mqtt_removed')} WHERE ${since} AND removed_at <= ${number(found.last)})`,
    );
    await this.db.insert('mqtt_swept', [{ name: 'mqtt_removed', removed_at: found.last }]);
    return true;
  }

  /**
   * Removals that have ended and hide no row of mqtt_msg. If a removal hides a row that was unknown, the row is purged
   * next.
   */
  private async tombstones(now: number, swept: number): Promise<boolean> {
    const over = `${COVERED} < ${number(now - OVER)} AND (stored_at = 0 OR removed_at <= ${number(swept)})`;
    const overHashes = `SELECT ${MESSAGE} FROM ${this.name('mqtt_removed')} WHERE ${over}`;
    const hidden = `FROM ${this.name('mqtt_msg')} WHERE ${MESSAGE} IN (${overHashes})`;
    await this.removals.nameOrphans(
      await this.db.rows<MessageRef>(`SELECT DISTINCT topic, msgid AS id ${hidden} LIMIT ${ORPHANS_PER_RUN}`),
    );
    return this.deleteIfEnough('mqtt_removed', `${over} AND ${MESSAGE} NOT IN (SELECT ${MESSAGE} ${hidden})`);
  }

  /**
   * A save writes the topic, with its time, before the message. So a topic that was last written long ago has no
   * message on its way.
   */
  private async topics(now: number): Promise<boolean> {
    if (now < this.topicsAt + TOPICS_EVERY) return false;
    this.topicsAt = now;
    return this.deleteIfEnough(
      'mqtt_topic',
      `seen_at < ${number(now - OLD)} AND cityHash64(topic) NOT IN (SELECT cityHash64(topic) FROM ${this.name('mqtt_msg')})`,
    );
  }

  /**
   * Deletions, but not before the rows that they hide.
   * @param writtenAt the column that tells when a row was written.
   */
  private async pairs(table: 'mqtt_sub' | 'mqtt_acked', writtenAt: 'version' | 'written_at', now: number): Promise<boolean> {
    const [from, key] = [this.name(table), 'clientid, topic'];
    const old = `${writtenAt} < ${number(now - OLD)}`;
    const deleted = `FROM ${from} WHERE deleted = 1 AND ${old}`;
    const ended = `SELECT ${key} FROM ${from} WHERE (${key}) IN (SELECT ${key} ${deleted}) GROUP BY ${key} HAVING argMax(deleted, version) = 1`;
    if (await this.deleteIfEnough(table, `deleted = 0 AND ${old} AND (${key}) IN (${ended})`)) return true;
    const hash = `cityHash64(${key})`;
    const hidden = `SELECT ${hash} FROM ${from} WHERE deleted = 0 AND ${hash} IN (SELECT ${hash} ${deleted})`;
    return this.deleteIfEnough(table, `deleted = 1 AND ${old} AND ${hash} NOT IN (${hidden})`);
  }

  /** Purged states, but not before the rows that they hide. */
  private async states(now: number): Promise<boolean> {
    const from = this.name('mqtt_client');
    const old = `written_at < ${number(now - OLD)}`;
    const ended = `SELECT clientid FROM ${from} WHERE clientid IN (SELECT clientid FROM ${from} WHERE deleted = 1 AND ${old})
      GROUP BY clientid HAVING argMax(deleted, changed_at) = 1`;
    if (await this.deleteIfEnough('mqtt_client', `deleted = 0 AND ${old} AND clientid IN (${ended})`)) return true;
    return this.deleteIfEnough(
      'mqtt_client',
      `deleted = 1 AND ${old} AND clientid NOT IN (SELECT clientid FROM ${from} WHERE deleted = 0)`,
    );
  }

  /** All rows except each topic's newest, and then deletions that hide nothing. */
  private async retained(now: number): Promise<boolean> {
    const from = this.name('mqtt_retain');
    const newest = `SELECT topic, max(${RANK}) FROM ${from} GROUP BY topic`;
    if (await this.deleteIfEnough('mqtt_retain', `version < ${number(now - SETTLED)} AND (topic, ${RANK}) NOT IN (${newest})`)) return true;
    const living = `SELECT cityHash64(topic) FROM ${from} WHERE deleted = 0`;
    return this.deleteIfEnough('mqtt_retain', `deleted = 1 AND version < ${number(now - OLD)} AND cityHash64(topic) NOT IN (${living})`);
  }

  private async deleteIfEnough(table: string, where: string): Promise<boolean> {
    const n = await this.db.count(`SELECT count() AS n FROM ${this.name(table)} WHERE ${where}`);
    if (n === 0 || n < (await this.enough(table))) return false;
    await this.delete(table, where);
    return true;
  }

  private async enough(table: string): Promise<number> {
    return Math.max(this.limits.least, SHARE * (await this.db.count(`SELECT count() AS n FROM ${table}`)));
  }

  private delete(table: string, where: string): Promise<void> {
    return this.db.command(`ALTER TABLE ${table} DELETE WHERE ${where}`);
  }

  /** The full name, because the server resolves it later, outside the current database. */
  private name(table: string): string {
    return `${identifier(this.db.database)}.${table}`;
  }
}
