import { randomBytes } from 'node:crypto';
import type { MessageRef } from '../../mqtt/message';
import type { Client, Row } from './client';
import { tick } from './clock';
import { chunks, distinct, isOneOf, keyOf, states, type KeyState } from './keys';

interface Claim {
  readonly topic: string;
  readonly msgid: string;
  readonly stored_at: number;
  readonly owner: string;
  readonly _part: string;
}

/** mqtt_removed. */
export class Removals {
  constructor(private readonly db: Client) {}

  /**
   * @returns how many of the messages were stored and were removed by this call, not by another one at the same time.
   */
  async remove(refs: readonly MessageRef[], until: number, now: number): Promise<number> {
    const all = distinct(refs);
    const known = await states(this.db, all);
    const owner = randomBytes(8).toString('hex');
    const stored = [...known.values()].filter((state) => state.stored.length > 0);
    const unknown = until <= now ? [] : all.filter((ref) => isNews(known.get(keyOf(ref)), until));
    await this.db.insert('mqtt_removed', [
      ...stored.flatMap((state) => endsOf(state, until, owner)),
      ...unknown.map(({ topic, id }) => ({ topic, msgid: id, removed_at: tick(), until, stored_at: 0, owner })),
    ]);
    return this.won(stored, owner);
  }

  /**
   * If several calls remove a row at the same time, the one whose claim was committed first counts. That order can be
   * read: the name of a part contains the number of its commit, and merging keeps rows of one key in their order. A
   * call that looks after its own insert sees all claims that were committed before it.
   */
  private async won(stored: readonly KeyState[], owner: string): Promise<number> {
    const winners = new Map<string, string>();
    for (const chunk of chunks(stored, ({ topic, id }) => 2 * (topic.length + id.length))) {
      const claims = await this.db.rows<Claim>(
        `SELECT topic, msgid, stored_at, owner, _part FROM mqtt_removed WHERE ${isOneOf(chunk)} AND stored_at > 0`,
        { max_threads: 1 },
      );
      claims.sort((a, b) => blockOf(a) - blockOf(b));
      for (const claim of claims) {
        const row = rowOf({ topic: claim.topic, id: claim.msgid }, claim.stored_at);
        if (!winners.has(row)) winners.set(row, claim.owner);
      }
    }
    return stored.filter((state) => winners.get(rowOf(state, state.stored.at(-1) ?? 0)) === owner).length;
  }

  /** Writes removals that name rows which were stored after their removal, because purging uses the names. */
  async nameOrphans(refs: readonly MessageRef[]): Promise<void> {
    const known = await states(this.db, refs);
    await this.db.insert(
      'mqtt_removed',
      [...known.values()].flatMap(({ topic, id, orphans }) =>
        orphans.map((at) => ({ topic, msgid: id, removed_at: Math.max(tick(), at), until: 0, stored_at: at, owner: '' })),
      ),
    );
  }
}

/** Whether a tombstone would last longer than what is known. */
const isNews = (state: KeyState | undefined, until: number): boolean =>
  state === undefined || (state.stored.length === 0 && state.until < until);

/** Removals are not earlier than the rows that they remove, whatever this machine's clock says. */
const endsOf = ({ topic, id, stored }: KeyState, until: number, owner: string): Row[] =>
  stored.map((at) => ({ topic, msgid: id, removed_at: Math.max(tick(), ...stored), until: Math.max(until, 0), stored_at: at, owner }));

const rowOf = (ref: MessageRef, stored: number): string => `${stored} ${keyOf(ref)}`;

/** Example: `all_12_15_1` contains blocks 12 to 15. */
const blockOf = ({ _part }: Claim): number => Number(_part.split('_')[1]);
