import { lastPositions } from '../shared/newest';
import { seenDay } from '../shared/unseen';
import { versioned, versionOf } from '../shared/versions';
import type { Position, PositionStore, Purged } from '../store';
import type { Client, Row } from './client';
import { tick } from './clock';
import { chunks } from './keys';
import { list, number, text } from './literal';
import { end, NEWEST, pairKey, pairLength, pairs, unseen, type Pair } from './pairs';
import { between, endOfPage, type Range } from './pages';

interface PositionRow extends Pair {
  readonly msgid: string;
  readonly receipts: readonly string[];
  readonly position_version: number;
}

/** The newest row of a key. */
interface Newest {
  readonly version: bigint;
  readonly positionVersion: number;
  readonly deleted: boolean;
}

const TABLE = 'mqtt_acked';
const POSITION = 'clientid, topic, msgid, receipts, position_version';

/** Greater than every time in microseconds. */
const VERSIONED = 2n ** 54n;
/** The distance between position versions, so that several rows of one version are in order. */
const SAME_VERSION = 512n;
/** The distance between two rows. The row that deletes the first comes in between. */
const STEP = 2n;

/**
 * mqtt_acked. A change is a new row with a greater `version`, a deletion a row that says so. ClickHouse checks no
 * condition when it inserts. So a row's `version` is made from the position's version: if a process stood still between
 * its read and its insert, its row counts less than what another process has written since. A deleted position may
 * begin again with any version. Its rows are then ordered only by what was read, like those without versions, until the
 * version exceeds that of the deleted position.
 */
export class PositionTable implements PositionStore {
  constructor(private readonly db: Client) {}

  async getPositions(consumer: string, topics: readonly string[]): Promise<Position[]> {
    const found: Position[] = [];
    for (const chunk of chunks(topics, (topic) => 2 * topic.length)) {
      found.push(...(await this.positions(`clientid = ${text(consumer)} AND topic IN ${list(chunk)}`)));
    }
    return found;
  }

  async listPositions(consumer: string, after: string, limit: number): Promise<Position[]> {
    const range: Range = { table: TABLE, where: `clientid = ${text(consumer)}`, column: 'topic' };
    const found: Position[] = [];
    for (let from = after; found.length < limit;) {
      const end = await endOfPage(this.db, range, from, limit);
      found.push(...(await this.positions(between(range, from, end), limit - found.length)));
      if (end === null) break;
      from = end;
    }
    return found;
  }

  /** Reads one column of all positions. */
  positionsOfTopic(topic: string): Promise<Position[]> {
    return this.positions(`topic = ${text(topic)}`);
  }

  async putPositions(positions: readonly Position[]): Promise<void> {
    const { kept, gone } = lastPositions(positions);
    const last = [...kept, ...gone];
    const newest = await this.newest(last.map(pairOf));
    const rows = last.flatMap((position, i): Row[] => {
      const stored = newest.get(pairKey(pairOf(position)));
      if (stored !== undefined && !stored.deleted && stored.positionVersion > versionOf(position)) return [];
      return [{ ...toRow(position), deleted: i < kept.length ? 0 : 1, version: String(versionAfter(position, stored)) }];
    });
    await this.db.insert(TABLE, rows);
  }

  private async newest(keys: readonly Pair[]): Promise<ReadonlyMap<string, Newest>> {
    const found = new Map<string, Newest>();
    for (const chunk of chunks(keys, pairLength)) {
      const rows = await this.db.rows<Pair & { last: string; position_version: number; deleted: number }>(
        `SELECT clientid, topic, toString(version) AS last, position_version, deleted FROM (
           SELECT clientid, topic, version, position_version, deleted FROM ${TABLE} WHERE (clientid, topic) IN (${pairs(chunk)}) ${NEWEST})`,
      );
      for (const row of rows)
        found.set(pairKey(row), { version: BigInt(row.last), positionVersion: row.position_version, deleted: row.deleted === 1 });
    }
    return found;
  }

  private async positions(where: string, limit: number | null = null): Promise<Position[]> {
    const rows = await this.db.rows<PositionRow>(
      `SELECT ${POSITION} FROM (SELECT ${POSITION}, deleted FROM ${TABLE} WHERE ${where} ${NEWEST})
       WHERE deleted = 0 ORDER BY clientid, topic ${limit === null ? '' : `LIMIT ${number(limit)}`}`,
    );
    return rows.map(({ clientid, topic, msgid, receipts, position_version }) => ({
      consumer: clientid,
      topic,
      id: msgid,
      receipts,
      ...versioned(position_version),
    }));
  }

  /** Reads the times of all rows. */
  async purgePositions(before: number, limit: number): Promise<Purged> {
    const due = await unseen(this.db, TABLE, `seen_at <= ${number(before)}`, limit);
    return end(this.db, TABLE, due, { msgid: '', receipts: [], seen_at: 0, position_version: 0, written_at: tick() }, limit);
  }
}

const pairOf = ({ consumer, topic }: Position): Pair => ({ clientid: consumer, topic });

/** Greater than the stored version, whatever this machine's clock says. */
function versionAfter(position: Position, stored: Newest | undefined): bigint {
  const version = BigInt(versionOf(position));
  const own = version === 0n ? BigInt(tick()) : VERSIONED + version * SAME_VERSION;
  const next = stored === undefined ? 0n : stored.version + STEP;
  return own > next ? own : next;
}

function toRow(position: Position): Row {
  const { consumer, topic, id, receipts } = position;
  return {
    ...{ clientid: consumer, topic, msgid: id, receipts, position_version: versionOf(position) },
    ...{ seen_at: seenDay({ receipts }, Date.now()), written_at: tick() },
  };
}
