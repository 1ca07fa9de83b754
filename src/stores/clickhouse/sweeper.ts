import type { Client } from './client';
import { COVERED, RETAINED_RANK as RANK } from './keys';
import { identifier, number } from './literal';

const SECOND = 1_000_000;
const MINUTE = 60 * SECOND;

export interface SweepLimits {
  /** For fewer rows the parts of a table are not rewritten, unless the rows have waited for long. */
  readonly least: number;
  /** Microseconds since 1970. */
  readonly now: () => number;
  /** Rows that are few are looked for after this time (microseconds), and then again. */
  readonly rarely: number;
}

/** The share of a table's rows that is enough for a rewrite. */
const SHARE = 0.1;
/** The most keys of one mutation, because they are in the server's memory. */
const MOST = 500_000;

/** After this time every insert that was running is in the table or has failed. */
const SETTLED = 2 * MINUTE;
/**
 * A removal or a deletion is forgotten this long after its end, because nothing that was stored before it can arrive
 * any more.
 */
const OVER = 10 * MINUTE;
const OLD = 60 * MINUTE;

const LIMITS: SweepLimits = { least: 10_000, now: () => Date.now() * 1_000, rarely: OLD };
const MESSAGE = 'cityHash64(topic, msgid)';

/**
 * Frees the disk space of what is removed already. Deleting rows rewrites the parts that contain them (a mutation, in
 * the background of the server). So it waits until there are enough rows, and starts one mutation at a time. If two
 * processes start one, both delete the same rows. All conditions concern rows that are removed for ever. If two keys
 * have the same hash, a row is only kept for longer.
 */
export class Sweeper {
  /** The step that comes first. After a step that deleted something it is the next one, so that no step has to wait for ever. */
  private next = 0;
  private rarelyAt: number;

  constructor(
    private readonly db: Client,
    private readonly limits: SweepLimits = LIMITS,
  ) {
    this.rarelyAt = limits.now() + limits.rarely;
  }

  async run(): Promise<void> {
    const running = await this.db.count('SELECT count() AS n FROM system.mutations WHERE database = currentDatabase() AND is_done = 0');
    if (running > 0) return;
    const now = this.limits.now();
    const swept = await this.db.count(`SELECT max(removed_at) AS at FROM mqtt_swept WHERE name = 'mqtt_removed'`);
    const steps = [() => this.messages(now, swept), () => this.tombstones(now, swept), () => this.few(now, swept)];
    for (let tried = 0; tried < steps.length; tried++) {
      const step = steps[this.next];
      this.next = (this.next + 1) % steps.length;
      if (await step?.()) return;
    }
  }

  /** What nobody misses for an hour, because there is little of it. */
  private async few(now: number, swept: number): Promise<boolean> {
    if (now < this.rarelyAt) return false;
    const steps = [
      () => this.late(now, swept),
      () => this.deleteIfEnough('mqtt_hidden', `found_at < ${number(now - OLD)}`, 1),
      () => this.pairs('mqtt_sub', 'version', now),
      () => this.pairs('mqtt_acked', 'written_at', now),
      () => this.states(now),
      () => this.retained(now),
    ];
    for (const step of steps) if (await step()) return true;
    this.rarelyAt = now + this.limits.rarely;
    return false;
  }

  /** The rows of mqtt_msg that removals since the last time hide. */
  private async messages(now: number, swept: number): Promise<boolean> {
    const since = `removed_at > ${number(swept)}`;
    const [found] = await this.db.rows<{ n: number; first: number; last: number }>(
      `SELECT count() AS n, min(at) AS first, max(at) AS last FROM (
         SELECT removed_at AS at FROM mqtt_removed WHERE ${since} AND removed_at <= ${number(now - SETTLED)} ORDER BY removed_at LIMIT ${MOST})`,
    );
    if (found === undefined || found.n === 0) return false;
    if (found.n < (await this.enough('mqtt_msg')) && found.first > now - OLD) return false;
    const deletes = await this.deleteHidden(`${since} AND removed_at <= ${number(found.last)}`, now);
    await this.db.insert('mqtt_swept', [{ name: 'mqtt_removed', removed_at: found.last }]);
    return deletes;
  }

  /**
   * The rows of mqtt_msg that were written after messages() had passed their removal. Their tombstone ended long ago,
   * so no more come. They are few, but nothing else removes them.
   */
  private late(now: number, swept: number): Promise<boolean> {
    return this.deleteHidden(this.over(now, swept), now);
  }

  /** Removals that have ended, without a row of mqtt_msg. */
  private tombstones(now: number, swept: number): Promise<boolean> {
    const over = this.over(now, swept);
    const overHashes = `SELECT ${MESSAGE} FROM ${this.name('mqtt_removed')} WHERE ${over}`;
    const stored = `SELECT ${MESSAGE} FROM ${this.name('mqtt_msg')} WHERE ${MESSAGE} IN (${overHashes})`;
    return this.deleteIfEnough('mqtt_removed', `${over} AND ${MESSAGE} NOT IN (${stored})`);
  }

  /** The removals that messages() has passed and that ended long ago. */
  private over(now: number, swept: number): string {
    return `${COVERED} < ${number(now - OVER)} AND removed_at <= ${number(swept)}`;
  }

  /**
   * Deletes the rows of mqtt_msg that these removals hide. A row of a message that was stored again after its tombstone is not hidden. Old
   * servers can't compare the two tables in a mutation, so mqtt_hidden has the keys of the rows until the mutation has ended.
   */
  private async deleteHidden(removals: string, at: number): Promise<boolean> {
    await this.db.command(
      `INSERT INTO mqtt_hidden (topic, msgid, stored_at, found_at) SELECT topic, msgid, row, ${number(at)} FROM (
         SELECT topic, msgid, groupArray(s) AS rows, max(c) AS covered FROM (
           SELECT topic, msgid, stored_at AS s, toUInt64(0) AS c FROM mqtt_msg WHERE (topic, msgid) IN (SELECT topic, msgid FROM mqtt_removed WHERE ${removals})
           UNION ALL SELECT topic, msgid, toUInt64(0) AS s, ${COVERED} AS c FROM mqtt_removed WHERE ${removals}
         ) GROUP BY topic, msgid
       ) ARRAY JOIN rows AS row WHERE row > 0 AND row <= covered`,
    );
    const found = `found_at = ${number(at)}`;
    if ((await this.db.count(`SELECT count() AS n FROM mqtt_hidden WHERE ${found}`)) === 0) return false;
    const rows = `SELECT topic, msgid, stored_at FROM ${this.name('mqtt_hidden')} WHERE ${found}`;
    await this.delete('mqtt_msg', `(topic, msgid, stored_at) IN (${rows})`);
    return true;
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

  private async deleteIfEnough(table: string, where: string, least?: number): Promise<boolean> {
    const n = await this.db.count(`SELECT count() AS n FROM ${this.name(table)} WHERE ${where}`);
    if (n === 0 || n < (least ?? (await this.enough(table)))) return false;
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
